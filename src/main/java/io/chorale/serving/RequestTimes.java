package io.chorale.serving;

/**
 * When what happened to one request, on the clock of the serving loop. The serving thread writes a time before it tells
 * the event; who has taken the event out of the ticket may read it.
 *
 * <pre>
 * arrival ---- queue ----> started -- prefill --> first token -- decode --> ended
 *    `-- adapter --> read
 * </pre>
 */
public final class RequestTimes {
    private enum Stage {
        QUEUED,
        STARTED,
        ANSWERING
    }

    /** Of a request that has not come to the door. */
    public static final RequestTimes NONE = new RequestTimes(0);

    private final long arrivalNanos;
    private Stage stage = Stage.QUEUED;
    private boolean ended;
    private long adapterReadNanos;
    private long startedNanos;
    private long firstTokenNanos;
    private long endedNanos;

    RequestTimes(long arrivalNanos) {
        this.arrivalNanos = arrivalNanos;
        this.adapterReadNanos = arrivalNanos;
        this.startedNanos = arrivalNanos;
        this.firstTokenNanos = arrivalNanos;
        this.endedNanos = arrivalNanos;
    }

    // The serving thread's side.

    void adapterRead(long nowNanos) {
        if (stage == Stage.QUEUED) {
            adapterReadNanos = Math.max(arrivalNanos, nowNanos);
        }
    }

    void started(long nowNanos) {
        stage = Stage.STARTED;
        startedNanos = nowNanos;
    }

    void firstToken(long nowNanos) {
        stage = Stage.ANSWERING;
        firstTokenNanos = nowNanos;
    }

    /** What was reached last has taken the time up to now. */
    void ended(long nowNanos) {
        ended = true;
        endedNanos = nowNanos;
        switch (stage) {
            case QUEUED -> {
                startedNanos = nowNanos;
                firstTokenNanos = nowNanos;
            }
            case STARTED -> firstTokenNanos = nowNanos;
            case ANSWERING -> {}
        }
    }

    /** From arrival to the first planned step, the adapter's time included. */
    public long queueNanos() {
        return startedNanos - arrivalNanos;
    }

    /** What of the queue's time the adapter's files were read in; 0 for one that was there. */
    public long adapterNanos() {
        return adapterReadNanos - arrivalNanos;
    }

    /** From the first planned step to the first token. */
    public long prefillNanos() {
        return firstTokenNanos - startedNanos;
    }

    /** From the first token to the end. */
    public long decodeNanos() {
        return endedNanos - firstTokenNanos;
    }

    /** From arrival to the end. */
    public long totalNanos() {
        return endedNanos - arrivalNanos;
    }

    /** Whether a step of it was planned. */
    public boolean started() {
        return stage != Stage.QUEUED;
    }

    /** Whether it is over. */
    public boolean ended() {
        return ended;
    }

    /** Whether there was a first token. */
    public boolean answered() {
        return stage == Stage.ANSWERING;
    }
}
