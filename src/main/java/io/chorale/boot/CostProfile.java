package io.chorale.boot;

import com.fasterxml.jackson.databind.ObjectMapper;
import io.chorale.core.policy.LearnedCosts;
import io.chorale.core.policy.StepCostModel;
import io.chorale.simulate.Calibration;
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
                file.filter(Files::exists).map(CostProfile::read).orElse(StepCostModel.Linear.FREE));
    }

    LearnedCosts costs() {
        return costs;
    }

    private static StepCostModel.Linear read(Path file) {
        try {
            return Calibration.read(file);
        } catch (IOException | IllegalArgumentException unreadable) {
            throw StartRefusal.because(
                    "chorale.scheduler.cost-profile = " + file + ": is not a cost profile: " + unreadable.getMessage());
        }
    }

    /** The serving thread has ended: what it learned is kept. */
    void save() {
        if (file.isEmpty()) {
            return;
        }
        Path path = file.get();
        Path written = path.resolveSibling(path.getFileName() + ".new");
        try {
            JSON.writerWithDefaultPrettyPrinter().writeValue(written.toFile(), Calibration.json(costs.profile()));
            Files.move(written, path, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
        } catch (IOException unwritable) {
            LOG.warnf("the cost profile could not be written to %s: %s", path, unwritable.getMessage());
        }
    }
}
