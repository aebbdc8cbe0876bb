package io.chorale.adapter.source;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/** What the bytes of a file must come to. */
record ContentDigest(Kind kind, String hex) {
    private static final int READ_BYTES = 1 << 16;

    /** How it is computed. */
    enum Kind {
        SHA256("SHA-256"),
        /** As git names a file, which is all that a hub says of small ones. */
        GIT_BLOB("SHA-1");

        private final String algorithm;

        Kind(String algorithm) {
            this.algorithm = algorithm;
        }

        String of(Path file) throws IOException {
            MessageDigest digest;
            try {
                digest = MessageDigest.getInstance(algorithm);
            } catch (NoSuchAlgorithmException impossible) {
                throw new IllegalStateException("every Java has " + algorithm, impossible);
            }
            if (this == GIT_BLOB) {
                digest.update(("blob " + Files.size(file) + "\0").getBytes(StandardCharsets.US_ASCII));
            }
            try (InputStream in = Files.newInputStream(file)) {
                byte[] buffer = new byte[READ_BYTES];
                for (int count = in.read(buffer); count >= 0; count = in.read(buffer)) {
                    digest.update(buffer, 0, count);
                }
            }
            return HexFormat.of().formatHex(digest.digest());
        }

        @Override
        public String toString() {
            return this == GIT_BLOB ? "git digest" : algorithm;
        }
    }

    static ContentDigest sha256(String hex) {
        return new ContentDigest(Kind.SHA256, hex);
    }
}
