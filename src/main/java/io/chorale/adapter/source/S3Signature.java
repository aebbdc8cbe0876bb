package io.chorale.adapter.source;

import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.HexFormat;
import java.util.Map;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/** Signs a GET as S3 wants it: AWS Signature Version 4, headers {@code host}, {@code x-amz-content-sha256}, {@code x-amz-date}. */
final class S3Signature {
    private static final String ALGORITHM = "AWS4-HMAC-SHA256";
    private static final String SIGNED = "host;x-amz-content-sha256;x-amz-date";
    private static final String EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    private static final DateTimeFormatter TIME =
            DateTimeFormatter.ofPattern("yyyyMMdd'T'HHmmss'Z'").withZone(ZoneOffset.UTC);

    /** Who asks. */
    record Credentials(String accessKey, String secretKey, String region) {}

    private S3Signature() {}

    /** The headers that a GET of {@code uri} needs; its path is encoded already and it has no query. */
    static Map<String, String> headers(URI uri, Credentials credentials, Instant now) {
        String time = TIME.format(now);
        String day = time.substring(0, 8);
        String canonical = "GET\n" + uri.getRawPath() + "\n\nhost:" + uri.getAuthority() + "\nx-amz-content-sha256:"
                + EMPTY_SHA256 + "\nx-amz-date:" + time + "\n\n" + SIGNED + "\n" + EMPTY_SHA256;
        String scope = day + "/" + credentials.region() + "/s3/aws4_request";
        String toSign = ALGORITHM + "\n" + time + "\n" + scope + "\n" + sha256(canonical);
        byte[] key = hmac(("AWS4" + credentials.secretKey()).getBytes(StandardCharsets.UTF_8), day);
        key = hmac(hmac(hmac(key, credentials.region()), "s3"), "aws4_request");
        String signature = HexFormat.of().formatHex(hmac(key, toSign));
        return Map.of(
                "x-amz-date",
                time,
                "x-amz-content-sha256",
                EMPTY_SHA256,
                "Authorization",
                ALGORITHM + " Credential=" + credentials.accessKey() + "/" + scope + ", SignedHeaders=" + SIGNED
                        + ", Signature=" + signature);
    }

    private static byte[] hmac(byte[] key, String text) {
        try {
            Mac mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(key, "HmacSHA256"));
            return mac.doFinal(text.getBytes(StandardCharsets.UTF_8));
        } catch (GeneralSecurityException impossible) {
            throw new IllegalStateException("every Java has HmacSHA256", impossible);
        }
    }

    private static String sha256(String text) {
        try {
            byte[] digest = MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8));
            return HexFormat.of().formatHex(digest);
        } catch (GeneralSecurityException impossible) {
            throw new IllegalStateException("every Java has SHA-256", impossible);
        }
    }
}
