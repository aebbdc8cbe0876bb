package io.chorale.boot;

import io.chorale.config.AdmissionSettings;
import io.chorale.config.DurationText;
import io.chorale.config.KeySettings;
import io.chorale.config.ObjectiveSettings;
import io.chorale.config.TenantSettings;
import io.smallrye.config.PropertiesConfigSource;
import io.smallrye.config.SmallRyeConfig;
import io.smallrye.config.SmallRyeConfigBuilder;
import java.io.IOException;
import java.io.StringReader;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Properties;
import java.util.TreeSet;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.eclipse.microprofile.config.spi.ConfigSource;
import org.jboss.logging.Logger;
import org.jspecify.annotations.Nullable;

/**
 * Reads the properties files again that the settings came from when one of them changes, and hands the {@link ReloadableSettings} in them
 * on, all or none: where anything is wrong, what held before holds, and the log says why. What cannot change while the server
 * runs is named there too. A text is taken once it is the same at two looks: what is still being written lacks its end, and
 * with it keys and what they are limited to.
 */
final class Reload implements AutoCloseable {
    private static final Logger LOG = Logger.getLogger("io.chorale");
    private static final Duration SETTLED_AFTER = Duration.ofMillis(200);
    private static final Pattern FILE_SOURCE = Pattern.compile("PropertiesConfigSource\\[source=(file:.*)]");
    private static final Pattern RELOADABLE = Pattern.compile("chorale\\.(admission|tenants|keys|objectives)\\..*");

    private final SmallRyeConfig started;
    private final Consumer<ReloadableSettings> receiver;
    private final Map<Path, String> texts = new LinkedHashMap<>();
    private final Map<Path, String> seen = new HashMap<>();
    private final ScheduledExecutorService timer = Executors.newSingleThreadScheduledExecutor(
            Thread.ofPlatform().daemon().name("reload").factory());
    private SmallRyeConfig current;

    /** @param started what the settings were read from at first */
    Reload(SmallRyeConfig started, Consumer<ReloadableSettings> receiver) {
        this.started = started;
        this.current = started;
        this.receiver = receiver;
        for (ConfigSource source : started.getConfigSources()) {
            Path file = fileOf(source);
            if (file != null) {
                texts.put(file, read(file));
            }
        }
    }

    /** Looks from time to time, if there is anything to look at. */
    void begin(Duration every) {
        if (!texts.isEmpty() && !every.isZero()) {
            // It never fails: look catches whatever a file can do.
            Future<?> unused =
                    timer.scheduleWithFixedDelay(this::watch, every.toNanos(), every.toNanos(), TimeUnit.NANOSECONDS);
        }
    }

    private void watch() {
        if (!look()) {
            Future<?> unused = timer.schedule(this::look, SETTLED_AFTER.toMillis(), TimeUnit.MILLISECONDS);
        }
    }

    @Override
    public void close() {
        timer.shutdownNow();
    }

    private static @Nullable Path fileOf(ConfigSource source) {
        Matcher file = FILE_SOURCE.matcher(String.valueOf(source.getName()));
        return file.matches() ? Path.of(URI.create(file.group(1))) : null;
    }

    /** Empty where there is none: a file that is being replaced may be away for a moment. */
    private static String read(Path file) {
        try {
            return Files.readString(file);
        } catch (IOException away) {
            return "";
        }
    }

    /** Takes what has changed and is the same as at the last look; returns whether nothing else has changed. */
    boolean look() {
        boolean changed = false;
        boolean settled = true;
        for (Map.Entry<Path, String> known : texts.entrySet()) {
            String text = read(known.getKey());
            boolean seenBefore = text.equals(seen.put(known.getKey(), text));
            if (text.isEmpty() || text.equals(known.getValue())) {
                continue;
            }
            if (seenBefore) {
                known.setValue(text);
                changed = true;
            } else {
                settled = false;
            }
        }
        if (changed) {
            reload();
        }
        return settled;
    }

    private void reload() {
        try {
            SmallRyeConfig next = readAgain();
            ReloadableSettings settings = new ReloadableSettings(
                    next.getConfigMapping(AdmissionSettings.class),
                    next.getConfigMapping(TenantSettings.class),
                    next.getConfigMapping(KeySettings.class),
                    next.getConfigMapping(ObjectiveSettings.class),
                    next.getOptionalValue(ReloadableSettings.ADMIN_KEY, String.class));
            List<String> problems = settings.problems();
            if (!problems.isEmpty()) {
                refuse(String.join("; ", problems));
                return;
            }
            receiver.accept(settings);
            tell(next);
            current = next;
        } catch (IOException | RuntimeException wrong) {
            refuse(String.valueOf(wrong.getMessage()));
        }
    }

    private static void refuse(String why) {
        LOG.errorf("the settings changed but are not taken, what held before holds: %s", why);
    }

    /** The sources of the start; of files what was read of them last. */
    private SmallRyeConfig readAgain() throws IOException {
        List<ConfigSource> sources = new ArrayList<>();
        for (ConfigSource source : started.getConfigSources()) {
            Path file = fileOf(source);
            String text = file == null ? "" : texts.getOrDefault(file, "");
            sources.add(text.isEmpty() ? source : parsed(text, source));
        }
        return new SmallRyeConfigBuilder()
                .addDefaultInterceptors()
                .withProfiles(started.getProfiles())
                .withConverter(Duration.class, 200, new DurationText())
                .withSources(sources)
                .withMapping(AdmissionSettings.class)
                .withMapping(TenantSettings.class)
                .withMapping(KeySettings.class)
                .withMapping(ObjectiveSettings.class)
                .build();
    }

    private static ConfigSource parsed(String text, ConfigSource source) throws IOException {
        Properties properties = new Properties();
        properties.load(new StringReader(text));
        Map<String, String> values = new HashMap<>();
        properties.forEach((key, value) -> values.put((String) key, (String) value));
        return new PropertiesConfigSource(values, source.getName(), source.getOrdinal());
    }

    /** Names the settings that are others now; never their values, for there are keys among them. */
    private void tell(SmallRyeConfig next) {
        TreeSet<String> changed = new TreeSet<>();
        current.getPropertyNames().forEach(changed::add);
        next.getPropertyNames().forEach(changed::add);
        changed.removeIf(
                name -> !name.startsWith("chorale.") || Objects.equals(value(current, name), value(next, name)));
        List<String> later = changed.stream().filter(name -> !reloadable(name)).toList();
        changed.removeAll(later);
        LOG.infof(
                "the settings changed and hold from now on: %s",
                changed.isEmpty() ? "none" : String.join(", ", changed));
        if (!later.isEmpty()) {
            LOG.warnf("these settings need a restart: %s", String.join(", ", later));
        }
    }

    private static @Nullable String value(SmallRyeConfig config, String name) {
        return config.getConfigValue(name).getValue();
    }

    private static boolean reloadable(String name) {
        return name.equals(ReloadableSettings.ADMIN_KEY)
                || RELOADABLE.matcher(name).matches();
    }
}
