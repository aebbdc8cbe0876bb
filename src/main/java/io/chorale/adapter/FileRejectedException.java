package io.chorale.adapter;

import java.util.List;

/** A file or folder that is not what it claims to be, or not what this engine can serve, with everything wrong with it. */
public sealed class FileRejectedException extends Exception permits FilesChangedException {
    private final List<String> problems;

    /** @param problems sentences, at least one; each names the file, the tensor or the setting that is wrong */
    public FileRejectedException(List<String> problems) {
        super(String.join("; ", problems));
        this.problems = List.copyOf(problems);
    }

    public FileRejectedException(String problem) {
        this(List.of(problem));
    }

    public List<String> problems() {
        return problems;
    }
}
