package io.chorale.api;

import io.chorale.access.AdapterScope;
import io.chorale.core.admission.Objective;
import io.chorale.core.model.Priority;
import io.chorale.serving.Tenant;
import java.util.Map;

/**
 * For whom a request is, and what it may ask of it.
 *
 * @param adapters that it may use
 * @param ttftNanosAsked time to first token that it asks for; 0: it does not
 * @param objectives what each class may ask
 */
record Caller(Tenant tenant, AdapterScope adapters, long ttftNanosAsked, Map<Priority, Objective> objectives) {

    /**
     * The class of a request: its tenant's, or a lower one that it asks for.
     *
     * @param asked as vLLM has it: 0 is usual, lower goes earlier
     */
    Priority priority(int asked) {
        Priority own = tenant.terms().priority();
        Priority wanted = asked > 0 ? Priority.LOW : asked < 0 ? Priority.HIGH : own;
        return wanted.compareTo(own) < 0 ? own : wanted;
    }

    /** The objective of a request of a class; 0: none. */
    long ttftNanos(Priority priority) {
        Objective objective = objectives.get(priority);
        if (objective == null) {
            return 0;
        }
        return ttftNanosAsked == 0 ? objective.usualNanos() : objective.within(ttftNanosAsked);
    }
}
