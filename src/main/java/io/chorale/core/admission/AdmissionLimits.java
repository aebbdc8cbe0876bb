package io.chorale.core.admission;

import io.chorale.core.memory.PoolGeometry;

/**
 * The bounds of the door.
 *
 * @param runningMax requests that may run at once
 * @param queueRequestsMax requests that may wait for those
 * @param queueTokensMax tokens that the waiting requests may want computed
 * @param contextMax tokens of prompt and answer together
 * @param prefillChunkTokens of a prompt that are computed in one step
 * @param refusesLost whether a request is refused whose time to first token cannot be met
 */
public record AdmissionLimits(
        int runningMax,
        int queueRequestsMax,
        long queueTokensMax,
        int contextMax,
        PoolGeometry geometry,
        int prefillChunkTokens,
        boolean refusesLost) {}
