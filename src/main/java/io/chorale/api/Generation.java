package io.chorale.api;

import io.chorale.core.model.AdapterSet;
import io.chorale.core.model.RequestSpec;
import io.chorale.serving.Door;
import io.chorale.serving.RequestTicket;
import io.chorale.serving.RequestTimes;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executor;
import java.util.function.LongSupplier;

/** The answers to one request while they are being generated: a choice and a ticket for each. Event loop only. */
final class Generation {
    private final CompletionRequest request;
    private final ModelCatalog catalog;
    private final AnswerConsumer consumer;
    private final List<Choice> choices = new ArrayList<>();
    private List<RequestTicket> tickets = List.of();
    private RequestTimes times = RequestTimes.NONE;
    private long arrivalNanos;
    private LongSupplier clock = () -> 0;
    private boolean pumping;

    Generation(CompletionRequest request, ModelCatalog catalog, AnswerConsumer consumer) {
        this.request = request;
        this.catalog = catalog;
        this.consumer = consumer;
        for (int i = 0; i < request.choices(); i++) {
            choices.add(new Choice(i, request, catalog.text(), this, consumer));
        }
    }

    /**
     * Goes through the door with all choices or with none.
     *
     * @param eventLoop this thread
     * @throws Problem when the door refuses
     */
    void start(Door door, Executor eventLoop) {
        clock = door::nowNanos;
        arrivalNanos = door.nowNanos();
        List<Door.Entrant> entrants = new ArrayList<>(choices.size());
        for (Choice choice : choices) {
            int[] prompt = request.promptOf(choice.index()).ids();
            int activeFrom = request.model().activeFrom(prompt);
            RequestSpec spec = new RequestSpec(
                    door.nextId(),
                    request.caller().tenant().index(),
                    activeFrom < 0 ? AdapterSet.BASE : request.model().adapters(),
                    prompt,
                    request.samplingOf(choice.index()),
                    request.caller().ttftNanos(request.priority()),
                    request.cacheSalt(),
                    arrivalNanos,
                    request.priority(),
                    Math.max(0, activeFrom));
            entrants.add(new Door.Entrant(spec, choice));
        }
        tickets = switch (door.enter(entrants, eventLoop)) {
            case Door.Decision.Admitted admitted -> admitted.tickets();
            case Door.Decision.Refused refused -> throw ProblemMapper.problemOf(refused, catalog);
            case Door.Decision.Closed closed -> throw ProblemMapper.problemOf(closed.standing());
        };
        times = tickets.getFirst().times();
    }

    List<Choice> choices() {
        return choices;
    }

    /** Of the first choice. */
    RequestTimes times() {
        return times;
    }

    /** Since it came to the door; 0 before. */
    long ageNanos() {
        return clock.getAsLong() - arrivalNanos;
    }

    /** Hands what has come to the consumer, as long as it wants more. */
    void pump() {
        if (pumping) {
            return;
        }
        pumping = true;
        try {
            for (int i = 0; i < tickets.size() && consumer.wantsMore(); i++) {
                Choice choice = choices.get(i);
                RequestTicket ticket = tickets.get(i);
                ticket.drain(event -> choice.accept(ticket, event));
            }
        } finally {
            pumping = false;
        }
        consumer.flush();
    }

    /** Its client does not read. */
    void abandon() {
        tickets.forEach(RequestTicket::abandon);
    }

    /** No more is wanted. */
    void cancel() {
        tickets.forEach(RequestTicket::cancel);
    }
}
