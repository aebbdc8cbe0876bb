package io.chorale.parity;

import io.chorale.core.sched.StepOutcome;
import io.chorale.core.sched.StepPlan;
import io.chorale.engine.Engine;
import io.chorale.engine.StagedAdapter;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Queue;
import java.util.random.RandomGenerator;

/**
 * Drives an engine by hand-made plans: whole prompts or chunks, one step at a time or with one in flight, sequences in any
 * company. No policy: everything fits or the test is wrong.
 */
final class PlanDriver {
    /** How to run: rows of a sequence in one step at most, and whether a step is planned before the last one has ended. */
    record Schedule(int chunkTokens, boolean overlapped) {
        static final Schedule WHOLE = new Schedule(Integer.MAX_VALUE, false);
    }

    /** One sequence: what it is given, and what came out. */
    static final class Generation {
        final int[] prompt;
        /** Adapters that it uses together, each with its factor. */
        final int[] slots;

        final float[] scales;
        final List<Integer> ids = new ArrayList<>();
        /** By generated token: its log-probability and those of the 20 best. */
        final List<float[]> logProbs = new ArrayList<>();
        /** By generated token: the last hidden state. */
        final List<float[]> hidden = new ArrayList<>();

        final List<Integer> pages = new ArrayList<>();
        /** Tokens whose keys and values exist or are being computed. */
        int computed;
        /** Tokens drawn or being drawn. */
        int drawn;
        /** Sample of the last plan that draws the newest token; -1: it is known. */
        int pendingSample = -1;

        /** @param slot of the adapter; -1: base model */
        Generation(int[] prompt, int slot) {
            this(prompt, slot, 1);
        }

        Generation(int[] prompt, int slot, float scale) {
            this(prompt, slot < 0 ? new int[0] : new int[] {slot}, slot < 0 ? new float[0] : new float[] {scale});
        }

        Generation(int[] prompt, int[] slots, float[] scales) {
            this.prompt = prompt;
            this.slots = slots;
            this.scales = scales;
        }

        private int token(int index) {
            if (index < prompt.length) {
                return prompt[index];
            }
            int generated = index - prompt.length;
            return generated < ids.size() ? ids.get(generated) : StepPlan.drawnBy(pendingSample);
        }
    }

    private static final int TOP = 20;

    private final Engine engine;
    private final ArrayDeque<Integer> freePages = new ArrayDeque<>();
    private final StepPlan[] plans = {new StepPlan(), new StepPlan()};
    private final Queue<List<Generation>> sampled = new ArrayDeque<>();
    private long steps;
    private final List<List<Integer>> slotPages = new ArrayList<>();
    /** Slot whose merged weights the next steps use; -1: none. */
    int mergedSlot = -1;

    PlanDriver(Engine engine) {
        this.engine = engine;
        for (int page = 0; page < engine.spec().pageCount(); page++) {
            freePages.add(page);
        }
    }

    int freePages() {
        return freePages.size();
    }

    /** From now on pages are handed out in another order. */
    void shufflePages(RandomGenerator random) {
        List<Integer> pages = new ArrayList<>(freePages);
        Collections.shuffle(pages, random);
        freePages.clear();
        freePages.addAll(pages);
    }

    /** Uploads a staged adapter into the next slot; returns the slot. */
    int load(StagedAdapter adapter) {
        int slot = slotPages.size();
        List<Integer> pages = new ArrayList<>();
        StepPlan plan = next();
        int move = plan.addMove(StepPlan.MOVE_LOAD, slot);
        plan.moveB[move] = engine.spec().layerGroups();
        plan.moveHandle[move] = adapter.handle();
        for (int i = 0; i < adapter.pages(); i++) {
            int page = freePages.remove();
            pages.add(page);
            plan.addMovePage(page);
        }
        runAlone(plan);
        slotPages.add(pages);
        return slot;
    }

    /** The pages of a loaded adapter. */
    int[] pagesOf(int slot) {
        return slotPages.get(slot).stream().mapToInt(Integer::intValue).toArray();
    }

    /** Drops every loaded adapter; their pages are free again. */
    void dropAll() {
        for (int slot = 0; slot < slotPages.size(); slot++) {
            move(StepPlan.MOVE_DROP, slot);
            freePages.addAll(slotPages.get(slot));
        }
        slotPages.clear();
    }

    /** A step of one move without pages. */
    void move(int kind, int slot) {
        StepPlan plan = next();
        plan.addMove(kind, slot);
        runAlone(plan);
    }

    /** Gives a sequence's pages back; what it computed is computed again when it runs next. */
    void preempt(Generation generation) {
        freePages.addAll(generation.pages);
        generation.pages.clear();
        generation.computed = 0;
    }

    /** Runs all sequences together until each has so many tokens, then frees their pages. */
    void run(List<Generation> generations, int tokens, Schedule schedule) {
        advance(generations, tokens, schedule);
        generations.forEach(this::preempt);
    }

    /** Runs all sequences together until each has so many tokens; they keep their pages. */
    void advance(List<Generation> generations, int tokens, Schedule schedule) {
        while (true) {
            StepPlan plan = next();
            List<Generation> drawing = plan(plan, generations, tokens, schedule.chunkTokens());
            if (plan.isEmpty()) {
                steps--;
                break;
            }
            engine.begin(plan);
            sampled.add(drawing);
            if (!schedule.overlapped() || sampled.size() == 2) {
                finish();
            }
        }
        while (!sampled.isEmpty()) {
            finish();
        }
    }

    private StepPlan next() {
        StepPlan plan = plans[(int) (steps % 2)];
        plan.reset(steps++);
        plan.mergedSlot = mergedSlot;
        return plan;
    }

    private void runAlone(StepPlan plan) {
        engine.begin(plan);
        StepOutcome outcome = engine.await();
        if (outcome.failed()) {
            throw new AssertionError("step " + plan.stepId + ": " + outcome.fault);
        }
    }

    private List<Generation> plan(StepPlan plan, List<Generation> generations, int tokens, int chunk) {
        List<Generation> drawing = new ArrayList<>();
        int pageTokens = engine.spec().pageTokens();
        for (Generation g : generations) {
            int known = g.prompt.length + g.drawn;
            int rows = Math.min(chunk, known - g.computed);
            // The last token wanted is never fed back.
            if (g.drawn == tokens || rows == 0) {
                continue;
            }
            int after = g.computed + rows;
            while (g.pages.size() * pageTokens < after) {
                g.pages.add(freePages.remove());
            }
            plan.beginSequence(after, g.prompt.length, -1);
            plan.addPages(g.pages.stream().mapToInt(Integer::intValue).toArray(), g.pages.size());
            for (int i = g.computed; i < after; i++) {
                plan.addRow(g.token(i), i);
            }
            for (int i = 0; i < g.slots.length; i++) {
                if (g.slots[i] != mergedSlot) {
                    plan.addSegmentSlot(g.slots[i], g.scales[i]);
                }
            }
            plan.endSegment();
            g.computed = after;
            g.pendingSample = -1;
            if (after == known) {
                int k = plan.addSample(plan.rowCount - 1);
                plan.topLogProbs[k] = Math.min(TOP, engine.spec().vocab());
                plan.hiddenRows = Arrays.copyOf(plan.hiddenRows, plan.hiddenCount + 1);
                plan.hiddenRows[plan.hiddenCount++] = plan.rowCount - 1;
                g.pendingSample = k;
                g.drawn++;
                drawing.add(g);
            }
        }
        return drawing;
    }

    private void finish() {
        List<Generation> drawing = sampled.remove();
        StepOutcome outcome = engine.await();
        if (outcome.failed()) {
            throw new AssertionError("step " + outcome.stepId + ": " + outcome.fault);
        }
        int width = engine.spec().hidden();
        for (int k = 0; k < drawing.size(); k++) {
            Generation g = drawing.get(k);
            g.ids.add(outcome.tokenIds[k]);
            int from = outcome.topStart[k];
            float[] logProbs = new float[1 + outcome.topStart[k + 1] - from];
            logProbs[0] = outcome.logProbs[k];
            System.arraycopy(outcome.topLogProbs, from, logProbs, 1, logProbs.length - 1);
            g.logProbs.add(logProbs);
            g.hidden.add(Arrays.copyOfRange(outcome.hidden, k * width, (k + 1) * width));
        }
    }
}
