package io.chorale.boot;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.chorale.core.policy.LearnedCosts;
import io.chorale.core.policy.StepCostModel;
import io.quarkus.runtime.configuration.ConfigurationException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Optional;
import org.jboss.logging.Logger;

/** What steps cost, as a file that a server leaves for the next one: read at start, corrected while running, written at stop. */
final class CostProfile {
    private static final Logger LOG = Logger.getLogger(CostProfile.class);
    private static final ObjectMapper JSON = new ObjectMapper();

    private final Optional<Path> file;
    private final LearnedCosts costs;

    CostProfile(Optional<Path> file) {
        this.file = file;
        costs = new LearnedCosts(
                file.filter(Files::exists).map(CostProfile::read).orElse(StepCostModel.Linear.UNMEASURED));
    }

    LearnedCosts costs() {
        return costs;
    }

    private static StepCostModel.Linear read(Path file) {
        try {
            JsonNode profile = JSON.readTree(file.toFile());
            return new StepCostModel.Linear(
                    profile.path("baseNanos").asLong(),
                    profile.path("rowNanos").asLong(),
                    profile.path("contextTokenNanos").asDouble(),
                    profile.path("adapterNanos").asLong(),
                    profile.path("adapterPageNanos").asLong(),
                    profile.path("adapterRowNanos").asLong(),
                    profile.path("loadPageNanos").asLong(),
                    profile.path("mergeNanos").asLong());
        } catch (IOException unreadable) {
            throw new ConfigurationException("chorale: cannot start: chorale.scheduler.cost-profile = " + file
                    + ": is not a cost profile: " + unreadable.getMessage());
        }
    }

    private static ObjectNode json(StepCostModel.Linear profile) {
        return JSON.createObjectNode()
                .put("baseNanos", profile.baseNanos())
                .put("rowNanos", profile.rowNanos())
                .put("contextTokenNanos", profile.contextTokenNanos())
                .put("adapterNanos", profile.adapterNanos())
                .put("adapterPageNanos", profile.adapterPageNanos())
                .put("adapterRowNanos", profile.adapterRowNanos())
                .put("loadPageNanos", profile.loadPageNanos())
                .put("mergeNanos", profile.mergeNanos());
    }

    /** The serving thread has ended: what it learned is kept. */
    void save() {
        if (file.isEmpty()) {
            return;
        }
        Path path = file.get();
        Path written = path.resolveSibling(path.getFileName() + ".new");
        try {
            JSON.writerWithDefaultPrettyPrinter().writeValue(written.toFile(), json(costs.profile()));
            Files.move(written, path, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
        } catch (IOException unwritable) {
            LOG.warnf("the cost profile could not be written to %s: %s", path, unwritable.getMessage());
        }
    }
}
