package io.chorale.simulate;

import io.chorale.core.policy.StepCostModel.Linear;
import java.util.function.Supplier;

/**
 * The server that answers, as a device of simulations.
 *
 * @param place what it holds; its costs do not matter
 * @param learned what its steps take, as far as it has learned by now; asked by any thread
 */
public record ServerDevice(DeviceProfile place, Supplier<Linear> learned) {
    public static final String NAME = "server";

    public DeviceProfile now(int[] ranks) {
        return Calibration.device(NAME, place, learned.get(), ranks);
    }
}
