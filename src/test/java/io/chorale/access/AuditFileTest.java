package io.chorale.access;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class AuditFileTest {
    @TempDir
    Path folder;

    @Test
    void shouldGoOnWhereTheLastServerStopped() throws IOException {
        Path file = folder.resolve("audit");
        try (AuditFile audit = new AuditFile(file, 1_000)) {
            audit.write("{\"a\":1}");
        }
        try (AuditFile audit = new AuditFile(file, 1_000)) {
            audit.write("{\"b\":2}");
        }
        assertEquals(List.of("{\"a\":1}", "{\"b\":2}"), Files.readAllLines(file));
    }

    @Test
    void shouldNeverTakeMoreThanTwoFiles() throws IOException {
        Path file = folder.resolve("audit");
        try (AuditFile audit = new AuditFile(file, 100)) {
            for (int i = 0; i < 100; i++) {
                audit.write("{\"number\":" + i + "}");
            }
        }
        Path older = folder.resolve("audit.1");
        assertTrue(Files.size(file) <= 100 && Files.size(older) <= 100);
        List<String> last = Files.readAllLines(file);
        assertEquals("{\"number\":99}", last.getLast());
        String lastOlder = Files.readAllLines(older).getLast();
        assertEquals("{\"number\":" + (99 - last.size()) + "}", lastOlder, "nothing is lost between the two");
        try (var files = Files.list(folder)) {
            assertEquals(2, files.count());
        }
    }

    @Test
    void shouldWriteALineThatIsLongerThanTheFileMayBe() throws IOException {
        Path file = folder.resolve("audit");
        String line = "x".repeat(200);
        try (AuditFile audit = new AuditFile(file, 100)) {
            audit.write(line);
            audit.write(line);
        }
        assertEquals(List.of(line), Files.readAllLines(file));
    }

    @Test
    void shouldSayAtOnceThatAFileCannotBeWritten() {
        assertThrows(IOException.class, () -> new AuditFile(folder.resolve("none/audit"), 100));
    }
}
