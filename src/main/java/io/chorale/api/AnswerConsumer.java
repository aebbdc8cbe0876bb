package io.chorale.api;

/** Who turns the choices of a generation into bytes. Called on the generation's event loop. */
interface AnswerConsumer {
    /** False: events stay in their tickets, which are bounded, until {@link Generation#pump} is called. */
    boolean wantsMore();

    /** The choice has a piece: text, token ids or log-probabilities, to be taken with {@link Choice#clearPiece}. */
    void piece(Choice choice);

    /** The choice is complete; its last piece came before. */
    void ended(Choice choice);

    /** The choice ends without a full answer. */
    void failed(Choice choice, Problem problem);

    /** Everything that came together has been told. */
    void flush();
}
