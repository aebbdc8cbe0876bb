package io.chorale.boot;

import io.vertx.core.Vertx;
import io.vertx.core.http.HttpServer;
import io.vertx.core.http.HttpServerRequest;
import io.vertx.core.json.JsonArray;
import io.vertx.core.json.JsonObject;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Supplier;
import org.jboss.logging.Logger;

/**
 * Answers on the service's port while the service is not there yet: to probes that the process lives and what it waits for,
 * to everybody else that they may come again. It leaves the port before the service takes it.
 */
final class StartingServer implements AutoCloseable {
    private static final Logger LOG = Logger.getLogger("io.chorale");
    private static final int WAIT_SECONDS = 10;
    private static final String COME_AGAIN_SECONDS = "10";

    private final HttpServer server;
    private final Supplier<String> awaited;

    private StartingServer(HttpServer server, Supplier<String> awaited) {
        this.server = server;
        this.awaited = awaited;
    }

    /** @param awaited what is waited for, at any moment */
    static StartingServer open(Vertx vertx, String host, int port, Supplier<String> awaited) {
        HttpServer server = vertx.createHttpServer();
        StartingServer starting = new StartingServer(server, awaited);
        server.requestHandler(starting::answer);
        starting.await(() -> server.listen(port, host)
                .toCompletionStage()
                .toCompletableFuture()
                .get(WAIT_SECONDS, TimeUnit.SECONDS));
        return starting;
    }

    private void answer(HttpServerRequest request) {
        String sentence = awaited.get();
        String path = String.valueOf(request.path());
        // Started and alive: a fetch may take longer than any probe would wait.
        boolean isUp = path.equals("/q/health/live") || path.equals("/q/health/started");
        JsonObject body = path.startsWith("/q/health")
                ? health(isUp, sentence)
                : new JsonObject()
                        .put(
                                "error",
                                new JsonObject()
                                        .put("message", "The model is not there yet: " + sentence + ".")
                                        .put("type", "server_error")
                                        .put("param", null)
                                        .put("code", "starting"));
        request.response()
                .setStatusCode(isUp ? 200 : 503)
                .putHeader("Content-Type", "application/json")
                .putHeader("Retry-After", COME_AGAIN_SECONDS)
                .end(body.encode());
    }

    private static JsonObject health(boolean isUp, String sentence) {
        String status = isUp ? "UP" : "DOWN";
        JsonObject check = new JsonObject()
                .put("name", "model")
                .put("status", status)
                .put("data", new JsonObject().put("waits-for", sentence));
        return new JsonObject().put("status", status).put("checks", new JsonArray().add(check));
    }

    @Override
    public void close() {
        await(() -> server.close().toCompletionStage().toCompletableFuture().get(WAIT_SECONDS, TimeUnit.SECONDS));
    }

    private interface Waiting {
        void run() throws InterruptedException, ExecutionException, TimeoutException;
    }

    private void await(Waiting waiting) {
        try {
            waiting.run();
        } catch (ExecutionException | TimeoutException failed) {
            // Probes then find nobody, as they would without this server; the service itself says what is wrong with
            // its
            // port.
            LOG.warnf("nobody says on the port that the model is awaited: %s", failed.getMessage());
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
        }
    }
}
