package io.chorale.core.sched;

import io.chorale.core.memory.DeviceAdapter;
import io.chorale.core.memory.PoolGeometry;
import io.chorale.core.model.SamplingParams;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Writes the rows of a decided step: sequences with the same adapter set side by side, one segment each set. */
final class PlanWriter {
    private final PoolGeometry geometry;
    private final int vocab;
    private final List<AdapterGroup> groups = new ArrayList<>();

    PlanWriter(PoolGeometry geometry, int vocab) {
        this.geometry = geometry;
        this.vocab = vocab;
    }

    void write(StepRecord step, Ledger ledger) {
        group(ledger.running);
        for (int g = 0; g < groups.size(); g++) {
            AdapterGroup group = groups.get(g);
            Sequence sequence = group.firstInStep;
            while (sequence != null) {
                writeSequence(sequence, step);
                Sequence next = sequence.nextInStep;
                sequence.nextInStep = null;
                sequence = next;
            }
            measure(group, ledger.weights.inUse(), step);
            writeSegment(group, ledger.weights, step.plan);
            for (DeviceAdapter adapter : group.adapters) {
                ledger.residency.touch(adapter, step.plannedNanos);
            }
            group.firstInStep = null;
            group.lastInStep = null;
        }
        groups.clear();
        step.shape.rows = step.plan.rowCount;
        for (int s = 0; s < step.plan.sequenceCount; s++) {
            step.shape.contextTokens += step.plan.seqContext[s];
        }
        for (int i = 0; i < step.loads.size(); i++) {
            step.shape.loadPages += step.loads.get(i).pagesNeeded();
        }
        step.shape.mergePages = step.merged == null ? 0 : step.merged.pagesNeeded();
    }

    /** Chains the sequences of each adapter set, sets in the order in which their first sequence was admitted. */
    private void group(List<Sequence> running) {
        for (int i = 0; i < running.size(); i++) {
            Sequence sequence = running.get(i);
            if (sequence.stepRows == 0) {
                continue;
            }
            AdapterGroup group = sequence.groupNow();
            Sequence last = group.lastInStep;
            if (last == null) {
                group.firstInStep = sequence;
                groups.add(group);
            } else {
                last.nextInStep = sequence;
            }
            group.lastInStep = sequence;
        }
    }

    private void writeSequence(Sequence sequence, StepRecord step) {
        StepPlan plan = step.plan;
        int first = sequence.computed;
        int end = first + sequence.stepRows;
        int known = sequence.known();
        plan.beginSequence(end, sequence.promptTokens(), sequence.scratchSlot);
        plan.addPages(sequence.pages.array(), geometry.pagesFor(end));
        for (int position = first; position < end; position++) {
            plan.addRow(position < known ? sequence.token(position) : pendingToken(sequence, plan), position);
        }
        sequence.computed = end;
        step.members.add(sequence);
        if (end == sequence.total()) {
            writeSample(sequence, step);
        }
    }

    /** The token that the step before this one is drawing. */
    private static int pendingToken(Sequence sequence, StepPlan plan) {
        if (sequence.pending() != 1 || sequence.drawnStep != plan.stepId - 1) {
            throw new IllegalStateException("step " + plan.stepId + " feeds a token that step " + sequence.drawnStep
                    + " draws, " + sequence.pending() + " pending");
        }
        return StepPlan.drawnBy(sequence.drawnSample);
    }

    private void writeSample(Sequence sequence, StepRecord step) {
        StepPlan plan = step.plan;
        SamplingParams sampling = sequence.spec.sampling();
        int k = plan.addSample(plan.rowCount - 1);
        plan.temperature[k] = sampling.temperature();
        plan.topK[k] = sampling.topK();
        plan.topP[k] = sampling.topP();
        plan.minP[k] = sampling.minP();
        plan.repetition[k] = sampling.repetitionPenalty();
        plan.presence[k] = sampling.presencePenalty();
        plan.frequency[k] = sampling.frequencyPenalty();
        plan.seed[k] = sampling.seed();
        plan.topLogProbs[k] = sampling.topLogProbs();
        for (int i = 0; i < sampling.biasIds().length; i++) {
            plan.addBias(sampling.biasIds()[i], sampling.biasValues()[i]);
        }
        if (sequence.nextAnswerIndex() < sampling.tokensMin()) {
            for (int stop : sampling.stopTokenIds()) {
                if (stop >= 0 && stop < vocab) {
                    plan.addBias(stop, Float.NEGATIVE_INFINITY);
                }
            }
        }
        step.drawers.add(sequence);
        sequence.willDraw(plan.stepId, k);
    }

    /** What a group adds to the shape of the step. Called before its segment is closed. */
    private static void measure(AdapterGroup group, @Nullable DeviceAdapter merged, StepRecord step) {
        StepPlan plan = step.plan;
        int rows = plan.rowCount - plan.segmentStart[plan.segmentCount];
        for (int i = 0; i < group.adapters.length; i++) {
            if (group.adapters[i] != merged) {
                step.shape.adapters++;
                step.shape.adapterPages += group.adapters[i].pagesNeeded();
                step.shape.adapterRows += rows;
            }
        }
        if (merged != null && !group.uses(merged)) {
            step.shape.adapterRows += rows; // the merged one is taken off
            if (!step.takesMergedOff) {
                step.takesMergedOff = true;
                step.shape.adapters++;
                step.shape.adapterPages += merged.pagesNeeded();
            }
        }
    }

    private static void writeSegment(AdapterGroup group, MergedWeights weights, StepPlan plan) {
        DeviceAdapter merged = weights.inUse();
        boolean cancelMerged = merged != null;
        for (int i = 0; i < group.adapters.length; i++) {
            DeviceAdapter adapter = group.adapters[i];
            float scale = group.set.scales()[i];
            if (adapter == merged) {
                cancelMerged = false;
                scale -= 1; // the base weights have it once already
            }
            if (adapter != merged || scale != 0) {
                plan.addSegmentSlot(adapter.slot(), scale);
            }
        }
        if (merged != null && cancelMerged) {
            plan.addSegmentSlot(merged.slot(), -1);
        }
        plan.endSegment();
    }
}
