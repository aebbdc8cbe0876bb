package io.chorale.api;

import io.vertx.ext.web.RoutingContext;
import java.util.concurrent.atomic.AtomicLong;

/**
 * How many bytes of long bodies may be here at once. Read as a tree of values a body is several times its length, and a
 * dozen of the longest would fill a heap of a gigabyte, which stops everybody. Short bodies are not counted: so long ones
 * never keep them out.
 */
final class BodyBudget {
    /** A body of no more is short. */
    static final int SHORT_BYTES_MAX = 64 << 10;

    private static final String SHARE = "chorale.body-share";

    private final long bytesMax;
    private final AtomicLong taken = new AtomicLong();

    BodyBudget(long bytesMax) {
        this.bytesMax = bytesMax;
    }

    /** What one body has taken. It goes back when its request has been read, at the latest when that has ended. */
    final class Share {
        private long own;
        private boolean over;

        /** Takes more; false: there is no more, or the request has ended, and nothing was taken. */
        synchronized boolean grow(int bytes) {
            if (over) {
                return false;
            }
            if (taken.addAndGet(bytes) > bytesMax) {
                taken.addAndGet(-bytes);
                return false;
            }
            own += bytes;
            return true;
        }

        /** For good. */
        synchronized void giveBack() {
            over = true;
            taken.addAndGet(-own);
            own = 0;
        }
    }

    /** The share of a request that begins to have a long body. */
    Share share(RoutingContext request) {
        Share share = new Share();
        request.put(SHARE, share);
        request.addEndHandler(ended -> share.giveBack());
        if (request.response().closed()) { // then nobody is told of the end any more
            share.giveBack();
        }
        return share;
    }

    /** The request has been read, and its body is not wanted any more. */
    static void giveBack(RoutingContext request) {
        if (request.get(SHARE) instanceof Share share) {
            share.giveBack();
        }
    }
}
