package io.chorale.boot;

import io.chorale.adapter.AdapterRefusal;
import io.chorale.adapter.FileRejectedException;
import io.chorale.adapter.source.ModelWish;
import io.chorale.adapter.source.RemoteModels;
import io.chorale.config.ModelSettings;
import io.chorale.text.TextException;
import io.smallrye.config.SmallRyeConfig;
import io.vertx.core.Vertx;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Optional;

/**
 * The base model comes in: from a folder, or from another machine, and then the port says from the beginning what is waited
 * for, until {@link #close}.
 */
final class ModelIntake implements AutoCloseable {
    private final ModelSettings model;
    private final Optional<Path> stateFolder;
    private final RemoteModels remote;
    private final Vertx vertx;
    private final SmallRyeConfig config;
    private Optional<StartingServer> starting = Optional.empty();

    ModelIntake(
            ModelSettings model, Optional<Path> stateFolder, RemoteModels remote, Vertx vertx, SmallRyeConfig config) {
        this.model = model;
        this.stateFolder = stateFolder;
        this.remote = remote;
        this.vertx = vertx;
        this.config = config;
    }

    /** Blocks until the model is there and read. */
    BaseModel read() {
        Optional<BaseModel.Fetched> fetched =
                model.source().map(source -> fetch(new ModelWish(source, model.sha256())));
        try {
            return BaseModel.read(model, fetched);
        } catch (FileRejectedException | TextException rejected) {
            throw fetched.isPresent()
                    ? StartRefusal.of("chorale.model.source", fetched.get().source(), rejected)
                    : StartRefusal.of("chorale.model.dir", model.dir(), rejected);
        }
    }

    private BaseModel.Fetched fetch(ModelWish wish) {
        ModelFetch fetch = new ModelFetch();
        starting = Optional.of(StartingServer.open(
                vertx,
                config.getOptionalValue("quarkus.http.host", String.class).orElse("0.0.0.0"),
                config.getOptionalValue("quarkus.http.port", Integer.class).orElse(8080),
                fetch.progress()::sentence));
        try {
            Path shelf = stateFolder.orElseThrow().resolve("models");
            return new BaseModel.Fetched(fetch.run(remote, wish, shelf), wish.source(), wish.modelName());
        } catch (AdapterRefusal | IOException failed) {
            throw StartRefusal.of("chorale.model.source", wish.source(), failed);
        }
    }

    /** Leaves the port to the service. */
    @Override
    public void close() {
        starting.ifPresent(StartingServer::close);
    }
}
