package dev.reprise;

/** Where a model runs. */
public enum Device {
    /** CUDA where it can be used, else the CPU. {@link Backend#describe()} says why CUDA cannot be used. */
    AUTO,
    /** The processor. */
    CPU,
    /** An NVIDIA GPU; loading fails with {@link DeviceUnavailableException} if it cannot be used. */
    CUDA
}
