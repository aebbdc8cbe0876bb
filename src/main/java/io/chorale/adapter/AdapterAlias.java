package io.chorale.adapter;

import io.chorale.core.model.Check;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.List;

/**
 * A name that stands for other names, each for a share of its users: for canaries, and for names that stay while what is
 * behind them changes. A user always gets the same one while the shares stay; when a later share grows, only users who
 * move to it change.
 *
 * @param shares at least one, in the order in which users are dealt out
 */
public record AdapterAlias(String name, List<Share> shares) {
    public static final int SHARES_MAX = 16;

    /**
     * One of the adapters behind an alias.
     *
     * @param to an adapter's name, or {@code name@version} for one of its versions
     * @param weight its part of the sum of all weights; positive
     */
    public record Share(String to, double weight) {
        public Share {
            Check.argument(weight > 0 && Double.isFinite(weight), () -> "the weight of '" + to + "' must be positive");
        }
    }

    public AdapterAlias {
        Check.argument(
                !shares.isEmpty() && shares.size() <= SHARES_MAX,
                () -> "an alias must stand for 1 to " + SHARES_MAX + " adapters");
        shares = List.copyOf(shares);
    }

    /** What this user gets. */
    public String of(String user) {
        return at(position(user));
    }

    /** @param position from 0 to 1, where on the line of all shares */
    String at(double position) {
        double sum = shares.stream().mapToDouble(Share::weight).sum();
        double left = position * sum;
        for (Share share : shares) {
            left -= share.weight();
            if (left < 0) {
                return share.to();
            }
        }
        return shares.getLast().to();
    }

    /** Even over users, and another line for each alias, so that it is not always the same users who try what is new. */
    private double position(String user) {
        byte[] hash = ContentCheck.sha256().digest((name + "\n" + user).getBytes(StandardCharsets.UTF_8));
        return (ByteBuffer.wrap(hash).getLong() >>> 11) * 0x1p-53;
    }
}
