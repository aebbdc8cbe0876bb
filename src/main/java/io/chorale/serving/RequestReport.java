package io.chorale.serving;

/**
 * One request over HTTP when it has ended, for its log line and its trace. Times that it did not reach are 0.
 *
 * @param requestId of the header {@code x-request-id}
 * @param model that answered or was to; empty where the request was refused before that was known
 * @param status of the response
 * @param outcome {@code stop}, {@code length}, {@code cancelled}, or an error's code
 * @param choices answers that were asked for
 * @param queueNanos from arrival to the first planned step of the first choice
 * @param adapterNanos what of that its adapter was read in
 * @param prefillNanos from there to its first token
 * @param decodeNanos from there to the end of the last choice
 */
public record RequestReport(
        String requestId,
        String endpoint,
        String model,
        boolean streamed,
        int status,
        String outcome,
        int choices,
        int promptTokens,
        int answerTokens,
        long queueNanos,
        long adapterNanos,
        long prefillNanos,
        long decodeNanos) {

    public long totalNanos() {
        return queueNanos + prefillNanos + decodeNanos;
    }
}
