package io.chorale.adapter;

import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.file.Path;
import java.util.List;

/**
 * One version of one adapter as its files were when the registry read them.
 *
 * @param version dense, never used again; what requests carry instead of the name; {@link #UNREGISTERED} until the registry
 *     has given it one
 * @param directory that its files lie in
 * @param fingerprint says cheaply whether the files are still those that were registered: hexadecimal SHA-256 of
 *     configuration and header, and of key, size and time of the tensors' file
 * @param digest hexadecimal SHA-256 of all bytes of configuration and tensors: the identity of what is served; empty until
 *     they were read and checked for the first time
 * @param problems why it cannot be served, one sentence each; empty when it can
 */
public record AdapterEntry(
        int version,
        String name,
        Path directory,
        AdapterFacts facts,
        String fingerprint,
        String digest,
        List<String> problems) {
    /** The version of what the registry does not know yet. */
    public static final int UNREGISTERED = -1;

    /** Sentences that are kept of a broken adapter: there may be thousands of them, and validation tells all. */
    private static final int PROBLEMS_MAX = 20;

    /** Of a digest, enough to tell versions apart. */
    private static final int LABEL_CHARS = 12;

    public AdapterEntry {
        problems = FileRejectedException.first(PROBLEMS_MAX, problems);
    }

    boolean isRegistered() {
        return version != UNREGISTERED;
    }

    /** Whether nothing is known that speaks against serving it. */
    public boolean usable() {
        return problems.isEmpty();
    }

    /** A short name for the version: the beginning of its digest, empty until that is known. */
    public String label() {
        return digest.substring(0, Math.min(LABEL_CHARS, digest.length()));
    }

    public int rank() {
        return facts.rank();
    }

    public List<String> targets() {
        return facts.targets();
    }

    public long weightBytes() {
        return facts.weightBytes();
    }

    /** Writes down what speaks against it although it is served. */
    void warn(Logger log) {
        if (!facts.warnings().isEmpty()) {
            log.log(Level.WARNING, "adapter {0} is served, but {1}", name, String.join("; ", facts.warnings()));
        }
    }

    /** The same under another number. */
    AdapterEntry numbered(int number) {
        return new AdapterEntry(number, name, directory, facts, fingerprint, digest, problems);
    }

    /** The same version, whose content is known now. */
    AdapterEntry verified(String contentDigest) {
        return new AdapterEntry(version, name, directory, facts, fingerprint, contentDigest, problems);
    }

    /** The same version, whose files were touched or moved and hold what they held. */
    AdapterEntry refiled(Path newDirectory, String newFingerprint) {
        return new AdapterEntry(version, name, newDirectory, facts, newFingerprint, digest, problems);
    }

    /** The same version, of which something bad was found in its tensors. */
    AdapterEntry refused(List<String> found) {
        return new AdapterEntry(version, name, directory, facts, fingerprint, digest, found);
    }
}
