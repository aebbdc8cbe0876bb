package io.chorale.api;

import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.math.BigInteger;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.Signature;
import java.security.interfaces.RSAPublicKey;
import java.time.Instant;
import java.util.Arrays;
import java.util.Base64;

/** A provider of identities: says where its keys are, and signs whatever it is told to. */
final class MockIssuer {
    private final HttpServer server;
    private final KeyPair keys;
    private final KeyPair stranger;

    private MockIssuer(HttpServer server, KeyPair keys, KeyPair stranger) {
        this.server = server;
        this.keys = keys;
        this.stranger = stranger;
    }

    static MockIssuer start() {
        try {
            HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
            KeyPairGenerator generator = KeyPairGenerator.getInstance("RSA");
            generator.initialize(2048);
            MockIssuer issuer = new MockIssuer(server, generator.generateKeyPair(), generator.generateKeyPair());
            issuer.answer(
                    "/.well-known/openid-configuration",
                    "{\"issuer\":\"" + issuer.url() + "\",\"jwks_uri\":\"" + issuer.url() + "/keys\"}");
            RSAPublicKey key = (RSAPublicKey) issuer.keys.getPublic();
            issuer.answer(
                    "/keys",
                    "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"one\",\"use\":\"sig\",\"alg\":\"RS256\",\"n\":\""
                            + text(key.getModulus()) + "\",\"e\":\"" + text(key.getPublicExponent()) + "\"}]}");
            server.start();
            return issuer;
        } catch (IOException failed) {
            throw new UncheckedIOException(failed);
        } catch (GeneralSecurityException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    String url() {
        return "http://127.0.0.1:" + server.getAddress().getPort();
    }

    private void answer(String path, String json) {
        byte[] body = json.getBytes(StandardCharsets.UTF_8);
        server.createContext(path, exchange -> {
            exchange.getResponseHeaders().add("Content-Type", "application/json");
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
    }

    /** A token for chorale that holds for a minute; {@code more} begins with a comma. */
    String token(String subject, String more) {
        return sign(claims(url(), "chorale", subject, 60, more), keys);
    }

    String expired(String subject) {
        return sign(claims(url(), "chorale", subject, -3_600, ""), keys);
    }

    String forOthers(String subject) {
        return sign(claims(url(), "others", subject, 60, ""), keys);
    }

    String ofAnotherIssuer(String subject) {
        return sign(claims("http://elsewhere", "chorale", subject, 60, ""), keys);
    }

    /** Signed with a key that is not among the provider's. */
    String forged(String subject) {
        return sign(claims(url(), "chorale", subject, 60, ""), stranger);
    }

    /** Not signed at all. */
    String unsigned(String subject) {
        return encode("{\"alg\":\"none\"}") + "." + encode(claims(url(), "chorale", subject, 60, "")) + ".";
    }

    private static String claims(String issuer, String audience, String subject, long seconds, String more) {
        long now = Instant.now().getEpochSecond();
        return "{\"iss\":\"" + issuer + "\",\"aud\":\"" + audience + "\",\"sub\":\"" + subject + "\",\"iat\":"
                + (now - 7_200) + ",\"exp\":" + (now + seconds) + more + "}";
    }

    private static String sign(String claims, KeyPair with) {
        String signed = encode("{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"one\"}") + "." + encode(claims);
        try {
            Signature signature = Signature.getInstance("SHA256withRSA");
            signature.initSign(with.getPrivate());
            signature.update(signed.getBytes(StandardCharsets.US_ASCII));
            return signed + "." + Base64.getUrlEncoder().withoutPadding().encodeToString(signature.sign());
        } catch (GeneralSecurityException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    private static String encode(String json) {
        return Base64.getUrlEncoder().withoutPadding().encodeToString(json.getBytes(StandardCharsets.UTF_8));
    }

    private static String text(BigInteger number) {
        byte[] bytes = number.toByteArray();
        byte[] magnitude = bytes[0] == 0 ? Arrays.copyOfRange(bytes, 1, bytes.length) : bytes;
        return Base64.getUrlEncoder().withoutPadding().encodeToString(magnitude);
    }
}
