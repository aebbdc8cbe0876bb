package io.chorale.process;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.testing.Command;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.util.Base64;
import java.util.Iterator;
import java.util.List;
import java.util.stream.Stream;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLHandshakeException;
import javax.net.ssl.TrustManagerFactory;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A key pair in two files, as a Secret mounts them, and the settings of docs/SECURITY.md: answers by TLS, and by nothing else. */
class TlsIT {
    private static final char[] PASSWORD = "changeit".toCharArray();
    private static final String NAME = "server";

    @TempDir
    Path folder;

    private KeyStore pair;

    @BeforeEach
    void makePair() throws Exception {
        Path file = folder.resolve("pair.p12");
        String keytool =
                Path.of(System.getProperty("java.home"), "bin", "keytool").toString();
        Command.Result made = Command.run(
                60,
                List.of(
                        keytool,
                        "-genkeypair",
                        "-alias",
                        NAME,
                        "-keyalg",
                        "EC",
                        "-dname",
                        "CN=localhost",
                        "-ext",
                        "SAN=dns:localhost",
                        "-validity",
                        "2",
                        "-storetype",
                        "PKCS12",
                        "-keystore",
                        file.toString(),
                        "-storepass",
                        new String(PASSWORD)));
        assertEquals(0, made.status(), () -> made.output() + made.errors());
        pair = KeyStore.getInstance("PKCS12");
        try (InputStream in = Files.newInputStream(file)) {
            pair.load(in, PASSWORD);
        }
        writePem("tls.crt", "CERTIFICATE", pair.getCertificate(NAME).getEncoded());
        writePem("tls.key", "PRIVATE KEY", pair.getKey(NAME, PASSWORD).getEncoded());
    }

    @Test
    void shouldAnswerByTlsAlone() throws Exception {
        int port = freePort();
        try (Server server = start("tls", port, "quarkus.http.insecure-requests=disabled");
                HttpClient client =
                        HttpClient.newBuilder().sslContext(trusting()).build();
                HttpClient stranger = HttpClient.newHttpClient()) {
            awaitReady(client, port, server);
            HttpResponse<String> answer = client.send(ask(port, 5), HttpResponse.BodyHandlers.ofString());
            assertEquals(200, answer.statusCode(), answer::body);
            assertTrue(answer.body().endsWith("data: [DONE]\n\n"), answer::body);
            assertThrows(
                    SSLHandshakeException.class,
                    () -> stranger.send(ask(port, 5), HttpResponse.BodyHandlers.ofString()),
                    "a client that does not know the certificate");
            assertEquals(0, server.status("/q/health/live"), "the plain port is closed");
        }
    }

    /** With TLS clients speak HTTP/2: there, too, half an answer must not look like a whole one. */
    @Test
    void shouldBreakOffOverHttp2() throws Exception {
        int port = freePort();
        try (Server server = start("tls-breaks-off", port, "chorale.lifecycle.drain-grace=1S");
                HttpClient client =
                        HttpClient.newBuilder().sslContext(trusting()).build()) {
            awaitReady(client, port, server);
            HttpResponse<Stream<String>> answer = client.send(ask(port, 900), HttpResponse.BodyHandlers.ofLines());
            assertEquals(HttpClient.Version.HTTP_2, answer.version());
            Iterator<String> lines = answer.body().iterator();
            assertTrue(lines.next().startsWith("data: "));
            server.terminate();
            assertThrows(
                    UncheckedIOException.class,
                    () -> lines.forEachRemaining(line -> assertNotEquals("data: [DONE]", line)));
        }
    }

    private Server start(String name, int port, String setting) throws IOException {
        return Server.start(
                name,
                "quarkus.http.ssl-port=" + port,
                "quarkus.http.ssl.certificate.files=" + folder.resolve("tls.crt"),
                "quarkus.http.ssl.certificate.key-files=" + folder.resolve("tls.key"),
                setting);
    }

    private static HttpRequest ask(int port, int tokens) {
        return HttpRequest.newBuilder(URI.create("https://localhost:" + port + "/v1/completions"))
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(
                        "{\"model\":\"fable\",\"prompt\":[5,6],\"max_tokens\":" + tokens + ",\"stream\":true}"))
                .build();
    }

    private static void awaitReady(HttpClient client, int port, Server server) throws Exception {
        URI uri = URI.create("https://localhost:" + port + "/q/health/ready");
        HttpRequest probe = HttpRequest.newBuilder(uri).build();
        for (int tries = 0; ; tries++) {
            try {
                if (client.send(probe, HttpResponse.BodyHandlers.discarding()).statusCode() == 200) {
                    return;
                }
            } catch (IOException notYet) {
                if (tries > 600) {
                    throw new IOException("the server does not start: " + server.log(), notYet);
                }
            }
            Thread.sleep(100);
        }
    }

    private SSLContext trusting() throws GeneralSecurityException, IOException {
        KeyStore trusted = KeyStore.getInstance("PKCS12");
        trusted.load(null, null);
        trusted.setCertificateEntry(NAME, pair.getCertificate(NAME));
        TrustManagerFactory managers = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        managers.init(trusted);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, managers.getTrustManagers(), null);
        return context;
    }

    private void writePem(String name, String what, byte[] bytes) throws IOException {
        String text = Base64.getMimeEncoder(64, new byte[] {'\n'}).encodeToString(bytes);
        Files.writeString(
                folder.resolve(name), "-----BEGIN " + what + "-----\n" + text + "\n-----END " + what + "-----\n");
    }

    private static int freePort() throws IOException {
        try (ServerSocket free = new ServerSocket(0)) {
            return free.getLocalPort();
        }
    }
}
