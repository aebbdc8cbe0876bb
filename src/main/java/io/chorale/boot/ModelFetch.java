package io.chorale.boot;

import io.chorale.adapter.AdapterRefusal;
import io.chorale.adapter.source.FetchProgress;
import io.chorale.adapter.source.ModelWish;
import io.chorale.adapter.source.RemoteModels;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import org.jboss.logging.Logger;

/** Fetches the base model before anything can be served, and says in the log how far it is. */
final class ModelFetch {
    private static final Logger LOG = Logger.getLogger("io.chorale");
    private static final Duration SAY_EVERY = Duration.ofSeconds(10);
    private static final long NOTHING_SAID = -1;

    private final FetchProgress progress = new FetchProgress();
    private long bytesSaid = NOTHING_SAID;

    FetchProgress progress() {
        return progress;
    }

    /** A folder under {@code shelf} with the model's files. Blocks until they are there. */
    Path run(RemoteModels models, ModelWish wish, Path shelf) throws AdapterRefusal, IOException {
        long start = System.nanoTime();
        ScheduledExecutorService clock = Executors.newSingleThreadScheduledExecutor(
                Thread.ofPlatform().daemon().name("fetch-progress").factory());
        ScheduledFuture<?> saying =
                clock.scheduleAtFixedRate(this::say, SAY_EVERY.toSeconds(), SAY_EVERY.toSeconds(), TimeUnit.SECONDS);
        // Who is told to stop before the start has ended would wait for its end. The process may be gone before this
        // thread says anything.
        Thread fetching = Thread.currentThread();
        Thread stop = Thread.ofPlatform().name("fetch-stop").unstarted(() -> {
            LOG.infof("stopped while fetching %s", wish.source());
            fetching.interrupt();
        });
        Runtime.getRuntime().addShutdownHook(stop);
        try {
            Path folder = models.fetch(wish, shelf, progress);
            progress.begin("reading " + wish.source());
            LOG.infof("the model of %s is in %s (%.1f s)", wish.source(), folder, (System.nanoTime() - start) / 1e9);
            return folder;
        } finally {
            saying.cancel(false);
            clock.shutdown();
            forget(stop);
        }
    }

    private static void forget(Thread stop) {
        try {
            Runtime.getRuntime().removeShutdownHook(stop);
        } catch (IllegalStateException isStopping) {
            // What was built so far is taken down by this thread, which must be able to wait.
            if (Thread.interrupted()) {
                LOG.debug("stopped in the middle of a fetch");
            }
        }
    }

    private void say() {
        long bytes = progress.bytes();
        if (bytesSaid == NOTHING_SAID) { // some of them may have been here
            LOG.info(progress.sentence());
        } else {
            LOG.infof("%s, %.1f MB/s", progress.sentence(), (bytes - bytesSaid) / 1e6 / SAY_EVERY.toSeconds());
        }
        bytesSaid = bytes;
    }
}
