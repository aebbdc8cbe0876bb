package io.chorale.adapter.source;

import java.util.concurrent.Callable;

/** Stands between a source and whoever calls it: bounds time and number of calls, tries again, and stops trying. */
@FunctionalInterface
public interface SourceGuard {
    /** Calls as often as it takes; the action goes on where it stopped. An IOException is worth another try. */
    <T> T call(Callable<T> action, Class<T> type) throws Exception;
}
