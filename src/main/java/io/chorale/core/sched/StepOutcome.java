package io.chorale.core.sched;

/**
 * What one step produced. Reused: valid until the next outcome is read. Arrays may be longer than the counts say.
 *
 * <p>Sample k of the plan drew {@code tokenIds[k]} with log-probability {@code logProbs[k]} (NaN where none was wanted);
 * its most likely tokens are {@code topIds/topLogProbs[topStart[k] .. topStart[k+1])}.
 */
public final class StepOutcome {
    public long stepId;

    /** Empty when the step succeeded; otherwise why it was refused or failed, and nothing below is valid. */
    public String fault = "";

    /**
     * Of a fault: whether the step was refused before it began, so that nothing has changed on the device. Otherwise its
     * moves have happened, and only what its rows computed is lost.
     */
    public boolean refused;

    public int sampleCount;
    public int[] tokenIds = new int[0];
    public float[] logProbs = new float[0];
    public int[] topStart = new int[1];
    public int[] topIds = new int[0];
    public float[] topLogProbs = new float[0];

    /** Hidden states of {@code StepPlan.hiddenRows}, [hiddenCount, H] row-major. */
    public int hiddenCount;

    public float[] hidden = new float[0];

    /** Pairs (adapter slot, layer groups resident) of loads that ended with this step. */
    public int completedLoadCount;

    public int[] completedLoads = new int[0];

    /** Time on the device by phase: moves, forward, sampling, total. */
    public final long[] phaseNanos = new long[4];

    /** The outcome of another step, of which nothing is known yet; arrays stay. */
    public void reset(long newStepId) {
        stepId = newStepId;
        fault = "";
        refused = false;
        sampleCount = 0;
        hiddenCount = 0;
        completedLoadCount = 0;
    }

    /** The step never began. */
    public void refuse(String why) {
        fault = why;
        refused = true;
    }

    public boolean failed() {
        return !fault.isEmpty();
    }
}
