package io.chorale.text;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.Test;

class StopMatcherTest {
    private record Outcome(String text, Optional<String> stop) {}

    private static Outcome run(List<String> stops, boolean include, List<String> pieces) {
        StopMatcher matcher = new StopMatcher(stops, include);
        StringBuilder text = new StringBuilder();
        Optional<String> stop = Optional.empty();
        for (String piece : pieces) {
            StopMatcher.Emission emission = matcher.feed(piece);
            text.append(emission.text());
            if (emission.stop().isPresent()) {
                assertTrue(stop.isEmpty(), "one stop at most");
                stop = emission.stop();
            }
        }
        return new Outcome(text.append(matcher.finish()).toString(), stop);
    }

    /** The definition: the first stop string to end, and of those the longest. */
    private static Outcome expected(List<String> stops, boolean include, String text) {
        for (int end = 1; end <= text.length(); end++) {
            String read = text.substring(0, end);
            Optional<String> found =
                    stops.stream().filter(read::endsWith).max(java.util.Comparator.comparingInt(String::length));
            if (found.isPresent()) {
                return new Outcome(
                        include ? read : read.substring(0, end - found.get().length()), found);
            }
        }
        return new Outcome(text, Optional.empty());
    }

    @Test
    void holdsBackWhatMayBecomeAStopString() {
        StopMatcher matcher = new StopMatcher(List.of("\n\nUser:", "STOP"), false);
        assertEquals(new StopMatcher.Emission("Hello", Optional.empty()), matcher.feed("Hello\n"));
        assertEquals(new StopMatcher.Emission("\n", Optional.empty()), matcher.feed("\n\n"));
        assertEquals(new StopMatcher.Emission("\n\n and S", Optional.empty()), matcher.feed(" and SST"));
        assertEquals(new StopMatcher.Emission("", Optional.of("STOP")), matcher.feed("OP and more"));
        assertEquals(new StopMatcher.Emission("", Optional.empty()), matcher.feed("nothing follows"));
        assertEquals("", matcher.finish());
    }

    @Test
    void flushesAtTheEnd() {
        StopMatcher matcher = new StopMatcher(List.of("<end>"), false);
        assertEquals("a", matcher.feed("a<en").text());
        assertEquals("<en", matcher.finish());
    }

    @Test
    void includesTheStopStringWhereAsked() {
        assertEquals(new Outcome("abc", Optional.of("c")), run(List.of("c"), true, List.of("ab", "cd")));
        assertEquals(new Outcome("ab", Optional.of("c")), run(List.of("c"), false, List.of("ab", "cd")));
    }

    @Test
    void theFirstToEndWinsThenTheLongest() {
        assertEquals(new Outcome("a", Optional.of("bcd")), run(List.of("cd", "bcd", "d"), false, List.of("abcd")));
        assertEquals(new Outcome("ab", Optional.of("c")), run(List.of("abcd", "c"), false, List.of("abcd")));
    }

    @Test
    void withoutStopStringsNothingIsHeld() {
        StopMatcher matcher = new StopMatcher(List.of(), false);
        assertEquals("any text", matcher.feed("any text").text());
    }

    @Test
    void doesNotDependOnHowTheTextIsCut() {
        Random random = new Random(20261121);
        int stopped = 0;
        for (int i = 0; i < 20_000; i++) {
            List<String> stops = new ArrayList<>();
            for (int j = 0; j <= random.nextInt(4); j++) {
                stops.add(word(random, 1 + random.nextInt(5)));
            }
            String text = word(random, random.nextInt(25));
            boolean include = random.nextBoolean();
            List<String> pieces = new ArrayList<>();
            for (int at = 0; at < text.length(); ) {
                int end = Math.min(text.length(), at + random.nextInt(4));
                pieces.add(text.substring(at, end));
                at = end;
            }
            Outcome expected = expected(stops, include, text);
            assertEquals(expected, run(stops, include, pieces), () -> stops + " in " + pieces);
            stopped += expected.stop().isPresent() ? 1 : 0;
        }
        assertTrue(stopped > 2_000 && stopped < 18_000, "stopped: " + stopped);
    }

    private static String word(Random random, int length) {
        StringBuilder word = new StringBuilder();
        for (int i = 0; i < length; i++) {
            word.append((char) ('a' + random.nextInt(3)));
        }
        return word.toString();
    }

    @Test
    void refusesWhatIsBeyondItsBounds() {
        List<String> tooMany = Collections.nCopies(StopMatcher.STOP_STRINGS_MAX + 1, "x");
        assertThrows(IllegalArgumentException.class, () -> new StopMatcher(tooMany, false));
        List<String> empty = List.of("a", "");
        assertThrows(IllegalArgumentException.class, () -> new StopMatcher(empty, false));
        List<String> tooLong = List.of("x".repeat(StopMatcher.STOP_CHARS_MAX + 1));
        assertThrows(IllegalArgumentException.class, () -> new StopMatcher(tooLong, false));
    }
}
