package io.chorale.workload;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.LocalDateTime;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.time.format.DateTimeFormatterBuilder;
import java.time.format.DateTimeParseException;
import java.time.temporal.ChronoField;
import java.time.temporal.TemporalAccessor;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Public traces of real services: times and lengths are theirs. None of them says which adapter a request wanted, so that is
 * drawn as in S-LoRA's generator. Two formats, told apart by the first line:
 *
 * <ul>
 *   <li>Azure's LLM inference traces: CSV with {@code TIMESTAMP,ContextTokens,GeneratedTokens}
 *   <li>Mooncake's: a JSON object a line, with {@code timestamp} in milliseconds, {@code input_length} and {@code
 *       output_length}
 * </ul>
 *
 * @param speed how many times faster than it was recorded
 * @param seconds of the recording that are played; 0: all
 * @param tokensMax longer prompts are cut to leave room for the answer, and longer answers to half of it
 */
public record TraceFile(
        Path file, double speed, double seconds, int tokensMax, int adapters, double alpha, int seed, int[] ranks) {
    private static final int REQUESTS_MAX = 10_000_000;
    /** As many nanoseconds as a long holds. */
    private static final double MILLIS_MAX = 9e12;

    private static final String AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens";
    private static final DateTimeFormatter AZURE_TIME = new DateTimeFormatterBuilder()
            .appendPattern("yyyy-MM-dd HH:mm:ss")
            .appendFraction(ChronoField.NANO_OF_SECOND, 0, 9, true)
            .optionalStart()
            .appendOffsetId() // of those recorded in 2024
            .toFormatter(Locale.ROOT);
    private static final String BYTE_ORDER_MARK = "\uFEFF";
    private static final Pattern MOONCAKE_TIME = field("timestamp");
    private static final Pattern MOONCAKE_INPUT = field("input_length");
    private static final Pattern MOONCAKE_OUTPUT = field("output_length");

    /** @param cut it was longer */
    private record Line(long nanos, int input, int output, boolean cut) {}

    public TraceFile {
        if (!(speed > 0)) {
            throw new IllegalArgumentException("the speed of a trace must be positive");
        }
        if (tokensMax < 2) {
            throw new IllegalArgumentException("a request has at least two tokens");
        }
        if (adapters < 0 || !(alpha > 0) || ranks.length == 0) {
            throw new IllegalArgumentException("adapters must not be negative, alpha positive, and ranks given");
        }
    }

    private static Pattern field(String name) {
        return Pattern.compile("\"" + name + "\"\\s*:\\s*([-+.\\w]+)");
    }

    /** Reads it; throws {@link IllegalArgumentException} with the line when it is not what it should be. */
    public Workload read() throws IOException {
        if (Files.isDirectory(file)) {
            throw new IllegalArgumentException(file + " is a folder");
        }
        List<Line> lines = new ArrayList<>();
        try (BufferedReader reader = Files.newBufferedReader(file, StandardCharsets.UTF_8)) {
            String text = reader.readLine();
            text = text == null ? "" : text.replace(BYTE_ORDER_MARK, "").strip();
            boolean azure = text.equals(AZURE);
            if (!azure && !text.startsWith("{")) {
                throw new IllegalArgumentException(file + " is neither an Azure trace (its first line would be " + AZURE
                        + ") nor a Mooncake trace (a JSON object a line)");
            }
            int number = azure ? 2 : 1;
            for (text = azure ? reader.readLine() : text; text != null; text = reader.readLine(), number++) {
                if (text.isBlank()) {
                    continue;
                }
                if (lines.size() == REQUESTS_MAX) {
                    throw new IllegalArgumentException(file + " has more than " + REQUESTS_MAX + " requests");
                }
                lines.add(azure ? azure(text, number) : mooncake(text, number));
            }
        } catch (CharacterCodingException binary) {
            throw new IllegalArgumentException(file + " is not text in UTF-8", binary);
        }
        lines.sort((a, b) -> Long.compare(a.nanos, b.nanos));
        return draw(lines);
    }

    private Line azure(String text, int number) {
        String[] parts = text.split(",", -1);
        try {
            if (parts.length == 3) {
                return line(azureNanos(parts[0].strip()), parts[1].strip(), parts[2].strip());
            }
        } catch (DateTimeParseException | NumberFormatException | ArithmeticException wrong) {
            throw unreadable(number, text, wrong);
        }
        throw unreadable(number, text, null);
    }

    private static long azureNanos(String text) {
        TemporalAccessor parsed = AZURE_TIME.parseBest(text, OffsetDateTime::from, LocalDateTime::from);
        LocalDateTime time = parsed instanceof OffsetDateTime elsewhere
                ? elsewhere.withOffsetSameInstant(ZoneOffset.UTC).toLocalDateTime()
                : LocalDateTime.from(parsed);
        return Duration.between(LocalDateTime.of(2000, 1, 1, 0, 0), time).toNanos();
    }

    private Line mooncake(String text, int number) {
        Matcher time = MOONCAKE_TIME.matcher(text);
        Matcher input = MOONCAKE_INPUT.matcher(text);
        Matcher output = MOONCAKE_OUTPUT.matcher(text);
        if (!time.find() || !input.find() || !output.find()) {
            throw unreadable(number, text, null);
        }
        try {
            double millis = Double.parseDouble(time.group(1));
            if (!(millis >= 0 && millis <= MILLIS_MAX)) {
                throw unreadable(number, text, null);
            }
            return line((long) (millis * 1e6), input.group(1), output.group(1));
        } catch (NumberFormatException wrong) {
            throw unreadable(number, text, wrong);
        }
    }

    private Line line(long nanos, String input, String output) {
        long wanted = tokens(output);
        int answer = Math.clamp(wanted, 1, tokensMax / 2);
        long given = tokens(input);
        int prompt = Math.clamp(given, 1, tokensMax - answer);
        return new Line(nanos, prompt, answer, answer < wanted || prompt < given);
    }

    private static long tokens(String text) {
        long tokens = Long.parseLong(text);
        if (tokens < 0) {
            throw new NumberFormatException("fewer than no tokens");
        }
        return tokens;
    }

    private IllegalArgumentException unreadable(
            int number, String text, @org.jspecify.annotations.Nullable Exception cause) {
        String shown = text.length() > 80 ? text.substring(0, 80) + "..." : text;
        return new IllegalArgumentException(file + ", line " + number + " is not understood: " + shown, cause);
    }

    private Workload draw(List<Line> lines) {
        NumpyRandom random = new NumpyRandom(seed);
        Workload.Columns columns = new Workload.Columns(lines.size());
        int cut = 0;
        long start = lines.isEmpty() ? 0 : lines.getFirst().nanos;
        for (Line line : lines) {
            long since = line.nanos - start;
            if (seconds > 0 && since > seconds * 1e9) {
                break;
            }
            int adapter =
                    adapters == 0 ? Workload.BASE : Math.min(adapters - 1, (int) (random.power(alpha) * adapters));
            columns.add((long) (since / speed), 0, adapter, line.input, line.output);
            cut += line.cut ? 1 : 0;
        }
        String name = "%s at %s times its speed, %d adapters, alpha %s, seed %d"
                .formatted(
                        file.getFileName(), SLoraGenerator.plain(speed), adapters, SLoraGenerator.plain(alpha), seed);
        if (cut > 0) {
            name += ", %,d requests cut to %,d tokens".formatted(cut, tokensMax);
        }
        return columns.toWorkload(name, adapters, ranks);
    }
}
