package io.chorale.access;

import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;

/**
 * The audit log as a file. When it has its size it becomes {@code FILE.1}, in place of the one before: two files are all that
 * it ever takes. A line that cannot be written goes to the server's log instead, and administration goes on.
 */
public final class AuditFile implements AuditLog {
    private static final Logger LOG = System.getLogger(AuditFile.class.getName());

    private final Path file;
    private final long bytesMax;
    private FileChannel channel;

    /** @throws IOException when the file cannot be written */
    public AuditFile(Path file, long bytesMax) throws IOException {
        this.file = file;
        this.bytesMax = bytesMax;
        channel = append(file);
    }

    private static FileChannel append(Path file) throws IOException {
        return FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE, StandardOpenOption.APPEND);
    }

    @Override
    public synchronized void write(String line) {
        ByteBuffer bytes = ByteBuffer.wrap((line + "\n").getBytes(StandardCharsets.UTF_8));
        try {
            if (channel.size() > 0 && channel.size() + bytes.remaining() > bytesMax) {
                channel.close();
                Files.move(file, file.resolveSibling(file.getFileName() + ".1"), StandardCopyOption.REPLACE_EXISTING);
            }
            if (!channel.isOpen()) {
                channel = append(file);
            }
            while (bytes.hasRemaining()) {
                channel.write(bytes);
            }
        } catch (IOException failed) {
            LOG.log(Level.ERROR, "the audit log cannot be written to " + file + ": " + failed.getMessage());
            LOG.log(Level.WARNING, line);
        }
    }

    @Override
    public synchronized void close() throws IOException {
        channel.close();
    }
}
