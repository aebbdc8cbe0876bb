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
                    0,
                    PromptTiles.NONE,
                    105e3,
                    HostCosts.NONE,
                    9.3e6),
            28_000,
            16,
            2.5,
            512,
            8192,
            2048,
            256,
            "docs/KERNELS.md");

    /**
     * dLoRA's engine on an A800 with the 7B model, as its scheduler's own constants have it: a merged step takes 15 ms, an
     * unmerged one 27 ms, whatever is in them, a switch 20 ms; 16 sequences at once. Adapters are of all linear layers, and
     * come over a link of 32 GB/s.
     */
    public static final DeviceProfile DLORA_A800_7B = new DeviceProfile(
            "dlora-a800-7b",
            new DeviceCosts(
                    15e6,
                    12e6,
                    new int[] {1, 4096},
                    new double[] {0, 0},
                    0,
                    0,
                    0,
                    0,
                    0,
                    0,
                    0,
                    PromptTiles.NONE,
                    156e3,
                    HostCosts.NONE,
                    20e6),
            7_000,
            16,
            0.6,
            16,
            2048,
            4096,
            16,
            "the constants of dLoRA's scheduler");

    /** S-LoRA's engine on an A100 80GB with Llama-7B and Llama-13B, on an A100 40GB and on an A10G. */
    public static final DeviceProfile SLORA_A100_7B = SLoraDevices.profile(
                    SLoraDevices.FITTED, SLoraDevices.Gpu.A100_80, SLoraDevices.Model.LLAMA_7B, 125_000)
            .named("slora-a100-7b");

    public static final DeviceProfile SLORA_A100_13B = SLoraDevices.profile(
                    SLoraDevices.FITTED, SLoraDevices.Gpu.A100_80, SLoraDevices.Model.LLAMA_13B, 65_000)
            .named("slora-a100-13b");

    public static final DeviceProfile SLORA_A100_40_13B = SLoraDevices.profile(
                    SLoraDevices.FITTED, SLoraDevices.Gpu.A100_40, SLoraDevices.Model.LLAMA_13B, 14_000)
            .named("slora-a100-40-13b");

    public static final DeviceProfile SLORA_A10G_7B = SLoraDevices.profile(
                    SLoraDevices.FITTED, SLoraDevices.Gpu.A10G, SLoraDevices.Model.LLAMA_7B, 14_500)
            .named("slora-a10g-7b");

    public static final List<DeviceProfile> ALL =
            List.of(H100_8B, DLORA_A800_7B, SLORA_A100_7B, SLORA_A100_13B, SLORA_A100_40_13B, SLORA_A10G_7B);
}
