package io.chorale.adapter;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** The digests of contents that were read and checked, by fingerprint of the files. Any thread. */
public final class KnownDigests {
    private final Map<String, String> byFingerprint = new ConcurrentHashMap<>();

    /** The digest, or an empty text where the content was not read yet. */
    String find(String fingerprint) {
        return byFingerprint.getOrDefault(fingerprint, "");
    }

    void keep(String fingerprint, String digest) {
        byFingerprint.put(fingerprint, digest);
    }

    /** Forgets files that no version has any more. */
    void forget(String fingerprint) {
        byFingerprint.remove(fingerprint);
    }
}
