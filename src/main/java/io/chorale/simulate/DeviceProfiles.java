package io.chorale.simulate;

import java.util.List;

/** The devices that are known without a calibration file. */
public final class DeviceProfiles {
    private DeviceProfiles() {}

    /**
     * One H100 80GB with the Llama-3-8B shape in bfloat16 on Chorale's CUDA engine, from the figures of docs/KERNELS.md:
     * decode steps at 1, 32 and 128 rows without their attention, prefill of 512 and 2,048 tokens, adapters on all seven
     * linears. Uploads at 50 GB/s; a merge reads and writes the layers' weights once at 3 TB/s.
     */
    public static final DeviceProfile H100_8B = new DeviceProfile(
            "h100-8b",
            new DeviceCosts(
                    0,
                    0,
                    new int[] {1, 32, 128, 512, 2048},
                    new double[] {5.59e6, 5.82e6, 8.11e6, 13.2e6, 49.4e6},
                    43.4e3 / 1024,
                    2.24,
                    0.55e6,
                    25e3,
                    3.4e3,
                    300,
                    105e3,
                    9.3e6),
            28_000,
            16,
            2.5,
            512,
            8192,
            2048,
            256,
            "docs/KERNELS.md");

    public static final List<DeviceProfile> ALL = List.of(H100_8B);
}
