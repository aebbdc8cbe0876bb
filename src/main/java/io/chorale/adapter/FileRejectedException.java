package io.chorale.adapter;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;

/** A file or folder that is not what it claims to be, or not what this engine can serve, with everything wrong with it. */
public sealed class FileRejectedException extends Exception permits FilesChangedException {
    private static final int PROBLEM_CHARS_MAX = 2_000;

    private final List<String> problems;

    /** @param problems sentences, at least one; each names the file, the tensor or the setting that is wrong */
    public FileRejectedException(List<String> problems) {
        super(problems.stream().map(FileRejectedException::printable).collect(Collectors.joining("; ")));
        this.problems = problems.stream().map(FileRejectedException::printable).toList();
    }

    /** Names come from files: what would break a log's line or fill a page is not repeated. */
    private static String printable(String problem) {
        StringBuilder text = new StringBuilder(problem.length());
        problem.codePoints().limit(PROBLEM_CHARS_MAX).forEach(c -> {
            if (Character.isISOControl(c) || Character.getType(c) == Character.FORMAT) {
                text.append(String.format(Locale.ROOT, "\\u%04x", c));
            } else {
                text.appendCodePoint(c);
            }
        });
        return problem.codePointCount(0, problem.length()) > PROBLEM_CHARS_MAX ? text + "..." : text.toString();
    }

    public FileRejectedException(String problem) {
        this(List.of(problem));
    }

    /** The first so many of all problems, and how many more there are. */
    static List<String> first(int most, List<String> problems) {
        if (problems.size() <= most) {
            return List.copyOf(problems);
        }
        List<String> shown = new ArrayList<>(problems.subList(0, most));
        shown.add("and " + (problems.size() - most) + " more");
        return List.copyOf(shown);
    }

    public List<String> problems() {
        return problems;
    }
}
