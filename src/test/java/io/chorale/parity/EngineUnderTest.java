package io.chorale.parity;

import io.chorale.adapter.FileRejectedException;
import io.chorale.adapter.ModelFiles;
import io.chorale.adapter.PeftAdapter;
import io.chorale.engine.StagedAdapter;
import io.chorale.engine.jni.EngineConfigs;
import io.chorale.engine.jni.NativeEngine;
import io.chorale.engine.jni.NativeEngineConfig;
import java.nio.file.Path;

/** A native engine with one model, and a driver for it. */
final class EngineUnderTest implements AutoCloseable {
    static final long POOL_BYTES = 64L << 20;

    final ModelFiles model;
    final NativeEngine engine;
    final PlanDriver driver;

    EngineUnderTest(Path modelFolder, NativeEngineConfig config) throws FileRejectedException {
        model = ModelFiles.open(modelFolder);
        engine = NativeEngine.create(config, model.manifest());
        driver = new PlanDriver(engine);
    }

    static EngineUnderTest of(Path modelFolder, String mode) throws FileRejectedException {
        return new EngineUnderTest(modelFolder, EngineConfigs.inMode(mode, NativeEngineConfig.cpu(POOL_BYTES)));
    }

    StagedAdapter stage(Path adapterFolder) throws FileRejectedException {
        String name = String.valueOf(adapterFolder.getFileName());
        return engine.stage(PeftAdapter.open(adapterFolder, model.shape()).weights(name));
    }

    /** Stages and uploads; returns the slot. */
    int load(Path adapterFolder) throws FileRejectedException {
        return driver.load(stage(adapterFolder));
    }

    @Override
    public void close() {
        engine.close();
    }
}
