package io.chorale.boot;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.access.Keyring;
import io.chorale.config.AdmissionSettings;
import io.chorale.config.DurationText;
import io.chorale.config.KeySettings;
import io.chorale.config.ObjectiveSettings;
import io.chorale.config.TenantSettings;
import io.smallrye.config.PropertiesConfigSource;
import io.smallrye.config.SmallRyeConfig;
import io.smallrye.config.SmallRyeConfigBuilder;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Which texts of a settings file are taken, look by look. */
class ReloadTest {
    private static final String LIMITED = "chorale.keys.limited.key=k\nchorale.keys.limited.adapters=pirate\n";
    private static final String CUT = "chorale.keys.limited.key=k\n";

    private final List<String> taken = new ArrayList<>();
    private final Path file;
    private Reload reload;

    ReloadTest(@TempDir Path folder) throws IOException {
        file = folder.resolve("limits.properties");
        Files.writeString(file, LIMITED);
        reload = reload();
    }

    private Reload reload() throws IOException {
        SmallRyeConfig config = new SmallRyeConfigBuilder()
                .addDefaultInterceptors()
                .withConverter(Duration.class, 200, new DurationText())
                .withSources(new PropertiesConfigSource(file.toUri().toURL(), 250))
                .withMapping(AdmissionSettings.class)
                .withMapping(TenantSettings.class)
                .withMapping(KeySettings.class)
                .withMapping(ObjectiveSettings.class)
                .build();
        return new Reload(
                config,
                limits -> taken.add(limits.keys().stream()
                        .map(Keyring.Entry::holder)
                        .map(holder -> holder.id() + " " + holder.adapters())
                        .toList()
                        .toString()));
    }

    @BeforeEach
    void seesNothingNew() {
        assertTrue(reload.look());
    }

    @AfterEach
    void close() {
        reload.close();
    }

    @Test
    void shouldTakeATextThatIsTheSameAtTwoLooks() throws IOException {
        Files.writeString(file, LIMITED.replace("pirate", "shout"));
        assertFalse(reload.look());
        assertEquals(List.of(), taken);
        assertTrue(reload.look());
        assertEquals(1, taken.size());
        assertTrue(taken.getFirst().contains("shout"), taken.getFirst());
        assertTrue(reload.look());
        assertEquals(1, taken.size(), "once");
    }

    /** Cut off before its last line, the key would be limited to nothing. */
    @Test
    void shouldNotTakeATextThatIsStillBeingWritten() throws IOException {
        Files.writeString(file, CUT);
        assertFalse(reload.look());
        Files.writeString(file, LIMITED.replace("pirate", "shout"));
        assertFalse(reload.look());
        assertTrue(reload.look());
        assertEquals(1, taken.size());
        assertTrue(taken.getFirst().contains("shout"), taken.getFirst());
    }

    @Test
    void shouldForgetWhatWasOnlySeenOnce() throws IOException {
        Files.writeString(file, CUT);
        assertFalse(reload.look());
        Files.writeString(file, LIMITED);
        assertTrue(reload.look());
        Files.writeString(file, "");
        assertTrue(reload.look());
        Files.delete(file);
        assertTrue(reload.look());
        assertTrue(reload.look());
        assertEquals(List.of(), taken);
    }
}
