package io.chorale.adapter;

import java.io.BufferedInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.HashSet;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.zip.GZIPInputStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipException;
import java.util.zip.ZipInputStream;

/**
 * An adapter in one file: a zip or tar (plain or gzipped) archive. Of what is in it only the configuration and the
 * tensors are taken, wherever they lie; no name in it ever becomes a path.
 */
public final class AdapterArchive {
    private static final int ENTRIES_MAX = 1_000;
    private static final int TAR_BLOCK = 512;
    private static final int TAR_SIZE_AT = 124;
    private static final int TAR_SIZE_BYTES = 12;
    private static final int TAR_TYPE_AT = 156;
    private static final int TAR_MAGIC_AT = 257;
    private static final int TAR_NAME_BYTES = 100;

    private static final byte TAR_FILE = '0';

    /** What follows is the name of the file after it, for names that do not fit. */
    private static final byte TAR_GNU_NAME = 'L';

    private static final byte TAR_PAX = 'x';
    private static final int TAR_LONG_NAME_BYTES_MAX = 1 << 16;
    private static final Pattern PAX_PATH = Pattern.compile("(?m)^\\d{1,6} path=(.*)$");
    private static final int COPY_BYTES = 1 << 16;
    private static final Set<String> TAKEN = Set.of(PeftAdapter.CONFIG, PeftAdapter.WEIGHTS);

    private final Path into;
    private final long bytesMax;
    private final Set<String> found = new HashSet<>();
    private long bytes;

    private AdapterArchive(Path into, long bytesMax) {
        this.into = into;
        this.bytesMax = bytesMax;
    }

    /**
     * Unpacks an adapter into a folder.
     *
     * @param bytesMax of all that is unpacked
     * @throws FileRejectedException where it is no archive of an adapter
     * @throws TooLargeException where it is larger than allowed
     */
    public static void unpack(InputStream archive, Path into, long bytesMax) throws IOException, FileRejectedException {
        AdapterArchive reader = new AdapterArchive(into, bytesMax);
        try {
            reader.unpack(new BufferedInputStream(archive, COPY_BYTES));
        } catch (ZipException | EOFException broken) {
            throw new FileRejectedException("the archive is broken: " + broken.getMessage());
        }
        for (String name : TAKEN.stream().sorted().toList()) {
            if (!reader.found.contains(name)) {
                throw new FileRejectedException("the archive has no " + name);
            }
        }
    }

    private void unpack(InputStream in) throws IOException, FileRejectedException {
        in.mark(TAR_BLOCK);
        byte[] head = in.readNBytes(TAR_BLOCK);
        in.reset();
        if (head.length >= 2 && head[0] == 'P' && head[1] == 'K') {
            zip(new ZipInputStream(in));
        } else if (head.length >= 2 && head[0] == 0x1f && head[1] == (byte) 0x8b) {
            tar(new BufferedInputStream(new GZIPInputStream(in), COPY_BYTES));
        } else if (isTar(head)) {
            tar(in);
        } else {
            throw new FileRejectedException("the body is not an archive: send a zip, tar or tar.gz file with "
                    + PeftAdapter.CONFIG + " and " + PeftAdapter.WEIGHTS
                    + ", or a source as Content-Type: application/json");
        }
    }

    private void zip(ZipInputStream zip) throws IOException, FileRejectedException {
        int entries = 0;
        for (ZipEntry entry = zip.getNextEntry(); entry != null; entry = zip.getNextEntry()) {
            count(++entries);
            take(entry.getName(), zip);
        }
    }

    private static boolean isTar(byte[] block) {
        return block.length == TAR_BLOCK
                && new String(block, TAR_MAGIC_AT, 5, StandardCharsets.US_ASCII).equals("ustar");
    }

    private void tar(InputStream in) throws IOException, FileRejectedException {
        int entries = 0;
        String longName = "";
        for (byte[] block = in.readNBytes(TAR_BLOCK);
                block.length == TAR_BLOCK && block[0] != 0;
                block = in.readNBytes(TAR_BLOCK)) {
            count(++entries);
            if (!isTar(block)) {
                throw new FileRejectedException("the archive is broken: block " + entries + " is no header of tar");
            }
            long size = tarSize(block);
            Bounded content = new Bounded(in, size);
            longName = switch (block[TAR_TYPE_AT]) {
                case TAR_GNU_NAME -> upToZero(content.readNBytes(TAR_LONG_NAME_BYTES_MAX), TAR_LONG_NAME_BYTES_MAX);
                case TAR_PAX -> paxPath(content.readNBytes(TAR_LONG_NAME_BYTES_MAX));
                case TAR_FILE, 0 -> {
                    take(longName.isEmpty() ? upToZero(block, TAR_NAME_BYTES) : longName, content);
                    yield "";
                }
                default -> "";
            };
            content.skipRest();
            in.skipNBytes((TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK);
        }
    }

    private static String upToZero(byte[] bytes, int bytesMax) {
        int end = 0;
        while (end < Math.min(bytes.length, bytesMax) && bytes[end] != 0) {
            end++;
        }
        return new String(bytes, 0, end, StandardCharsets.UTF_8);
    }

    /** Of a header in the format pax, lines such as {@code 28 path=some/long/name}; empty where it names no path. */
    private static String paxPath(byte[] header) {
        Matcher path = PAX_PATH.matcher(new String(header, StandardCharsets.UTF_8));
        return path.find() ? path.group(1) : "";
    }

    private static long tarSize(byte[] block) throws FileRejectedException {
        String octal = new String(block, TAR_SIZE_AT, TAR_SIZE_BYTES, StandardCharsets.US_ASCII)
                .replace('\0', ' ')
                .strip();
        try {
            return Long.parseUnsignedLong(octal.isEmpty() ? "0" : octal, 8);
        } catch (NumberFormatException malformed) {
            throw new FileRejectedException("the archive is broken: a size in it is not a number");
        }
    }

    private static void count(int entries) throws FileRejectedException {
        if (entries > ENTRIES_MAX) {
            throw new FileRejectedException("the archive has more than " + ENTRIES_MAX + " entries");
        }
    }

    private void take(String entry, InputStream content) throws IOException, FileRejectedException {
        String name = entry.substring(entry.lastIndexOf('/') + 1);
        if (!TAKEN.contains(name)) {
            return;
        }
        if (!found.add(name)) {
            throw new FileRejectedException("the archive has more than one " + name);
        }
        try (OutputStream out = Files.newOutputStream(into.resolve(name), StandardOpenOption.CREATE_NEW)) {
            byte[] buffer = new byte[COPY_BYTES];
            for (int count = content.read(buffer); count >= 0; count = content.read(buffer)) {
                bytes += count;
                if (bytes > bytesMax) {
                    throw new TooLargeException(bytesMax);
                }
                out.write(buffer, 0, count);
            }
        }
    }

    /** Thrown when more comes than is allowed. */
    public static final class TooLargeException extends IOException {
        TooLargeException(long bytesMax) {
            super("the adapter is larger than the " + bytesMax + " bytes that are allowed");
        }
    }

    /** The next bytes of a stream; the stream that they come from stays open. */
    private static final class Bounded extends InputStream {
        private final InputStream in;
        private long left;

        Bounded(InputStream in, long size) {
            this.in = in;
            this.left = size;
        }

        @Override
        public int read() throws IOException {
            byte[] one = new byte[1];
            return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
        }

        @Override
        public int read(byte[] into, int from, int count) throws IOException {
            if (left == 0) {
                return -1;
            }
            int read = in.read(into, from, (int) Math.min(left, count));
            if (read < 0) {
                throw new EOFException("it ends in the middle of a file");
            }
            left -= read;
            return read;
        }

        void skipRest() throws IOException {
            in.skipNBytes(left);
            left = 0;
        }
    }
}
