package io.chorale.core.sched;

import io.chorale.core.memory.PageTable;
import io.chorale.core.memory.PrefixMatch;
import io.chorale.core.memory.PrefixScope;
import io.chorale.core.memory.PrefixTokens;
import io.chorale.core.model.AdapterSet;
import io.chorale.core.model.RequestSpec;
import io.chorale.core.model.Usage;
import io.chorale.core.policy.SequenceView;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * One accepted request. There are no phases, only counts of tokens:
 *
 * <pre>
 * |---- prompt ----|-- answered --|-- pending --|        total = prompt + answered + pending
 * |---- computed: keys and values exist ---|             after the steps planned so far
 * </pre>
 *
 * A pending token is being drawn by a step in flight: its place is known, its id is not. A step takes rows
 * {@code [computed, total)}, or a part of them; the step that takes the last one draws a token.
 */
final class Sequence extends ScoreHeap.Item implements SequenceView, PrefixTokens {
    /** Where it is. */
    enum State {
        WAITING,
        RUNNING,
        ENDED
    }

    final RequestSpec spec;
    final AdapterGroup group;
    /** What runs the tokens before the first that its adapters act on. */
    private final AdapterGroup base;

    final long order;
    private final int[] prompt;
    /** Tokens that the answer may have: the request's limit, or what the context leaves. */
    final int answerMax;

    State state = State.WAITING;
    boolean started;
    final PageTable pages = new PageTable();
    int scratchSlot = -1;
    int computed;

    // What others can have of it, and it of others.
    final PrefixMatch match = new PrefixMatch();
    private final PrefixScope scope;
    private final PrefixScope baseScope;
    /** Of its pages, those at the beginning that the cache knows. */
    int keptPages;
    /** Tokens of the prompt that were computed already when it began. */
    int cachedTokens;
    /** The first step that it may be in since it runs. */
    long runsSinceStep;

    /** Admissions that passed it while it was blocked. */
    int bypassed;

    /** Rows that the plan being made gives it. */
    int stepRows;

    /** Its pending token is sample {@code drawnSample} of step {@code drawnStep}. */
    long drawnStep = -1;

    int drawnSample = -1;

    /** Who is charged for it, and where it waits unless it was preempted and goes before everybody. */
    final Flow flow;

    /** Whether it is in its flow's queue. */
    boolean queued;

    @Nullable
    Sequence previous;

    @Nullable
    Sequence next;

    @Nullable
    Sequence nextInStep;

    private static final int[] EMPTY = {};

    /** Tokens of an answer for which there is memory from the beginning: shorter ones never grow. */
    private static final int ANSWER_RESERVED = 1024;

    private int[] answer = EMPTY;
    private int answered;
    private int pending;

    Sequence(RequestSpec spec, Flow flow, AdapterGroup base, long order, int answerMax) {
        this.spec = spec;
        prompt = spec.promptTokens();
        this.flow = flow;
        this.group = flow.group;
        this.base = base;
        scope = new PrefixScope(spec.tenant(), spec.cacheSalt(), group.set, spec.activeFrom());
        baseScope = spec.activeFrom() == 0 ? scope : new PrefixScope(spec.tenant(), spec.cacheSalt(), base.set, 0);
        this.order = order;
        this.answerMax = answerMax;
    }

    int total() {
        return prompt.length + answered + pending;
    }

    int known() {
        return prompt.length + answered;
    }

    /** Tokens of KV that it can come to hold: the last token of the answer is never fed. */
    int kvTokensMax() {
        return prompt.length + answerMax - 1;
    }

    /** Whether there is a token to draw that no step in flight draws already. */
    boolean wantsMore() {
        return answered + pending < answerMax;
    }

    boolean complete() {
        return answered == answerMax;
    }

    int pending() {
        return pending;
    }

    /** Place in the answer of the token that would be drawn next. */
    int nextAnswerIndex() {
        return answered + pending;
    }

    /** What runs its next rows. */
    AdapterGroup groupNow() {
        return computed < spec.activeFrom() ? base : group;
    }

    /** Rows that it wants and that one segment can have. */
    int rowsWanted() {
        return (computed < spec.activeFrom() ? spec.activeFrom() : total()) - computed;
    }

    @Override
    public PrefixScope scopeBefore(int end) {
        return end <= spec.activeFrom() ? baseScope : scope;
    }

    /** Pages at its beginning that others may have computed. Its last token draws the next and is always computed. */
    int sharedPagesMax(int pageTokens) {
        // Tokens are counted as they are computed.
        return spec.sampling().wantsTokenCounts() ? 0 : (total() - 1) / pageTokens;
    }

    @Override
    public void copyTokens(int from, int[] into) {
        int[] prompt = spec.promptTokens();
        int ofPrompt = Math.clamp(prompt.length - from, 0, into.length);
        System.arraycopy(prompt, Math.min(from, prompt.length), into, 0, ofPrompt);
        System.arraycopy(answer, Math.max(0, from - prompt.length), into, ofPrompt, into.length - ofPrompt);
    }

    int token(int position) {
        return position < prompt.length ? prompt[position] : answer[position - prompt.length];
    }

    void willDraw(long stepId, int sample) {
        pending++;
        drawnStep = stepId;
        drawnSample = sample;
    }

    /** It is about to run: memory is allocated now rather than from step to step. */
    void reserve(int pageTokens) {
        int reserved = Math.min(answerMax, Math.max(answered, ANSWER_RESERVED));
        if (answer.length < reserved) {
            answer = Arrays.copyOf(answer, reserved);
        }
        pages.reserve(Math.ceilDiv(prompt.length + reserved, pageTokens));
    }

    /** The oldest pending token has been drawn. */
    void accept(int tokenId) {
        if (answered == answer.length) {
            answer = Arrays.copyOf(answer, Math.min(answerMax, answered * 2));
        }
        answer[answered++] = tokenId;
        pending--;
    }

    Usage usage() {
        return new Usage(spec.promptTokens().length, answered, cachedTokens);
    }

    @Override
    public long order() {
        return order;
    }

    @Override
    public AdapterSet adapters() {
        return group.set;
    }

    @Override
    public long arrivalNanos() {
        return spec.arrivalNanos();
    }

    @Override
    public long ttftNanosMax() {
        return spec.ttftNanosMax();
    }

    @Override
    public int promptTokens() {
        return prompt.length;
    }

    @Override
    public int answerTokens() {
        return answered;
    }
}
