package io.chorale.adapter;

import java.nio.file.Path;
import java.util.List;

/**
 * One version of one adapter as its files were when the registry read them.
 *
 * @param version dense, never used again; what requests carry instead of the name
 * @param rank the largest rank of its targets
 * @param targets the linears it changes, such as {@code q_proj}
 * @param weightBytes bytes of its tensors in the files
 * @param digest hexadecimal SHA-256 of its configuration, its tensors' header and the time of their last change
 * @param problems why it cannot be served, one sentence each; empty when it can
 */
public record AdapterEntry(
        int version,
        String name,
        Path directory,
        int rank,
        List<String> targets,
        long weightBytes,
        String digest,
        List<String> problems) {

    public boolean usable() {
        return problems.isEmpty();
    }
}
