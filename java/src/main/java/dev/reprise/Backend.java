package dev.reprise;

import dev.reprise.json.Json;
import dev.reprise.natives.loader.NativeLibrary;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * The native library that was loaded, the devices it can use, and why it cannot use others. {@link #toString} tells it
 * to people.
 *
 * @param version of the native library
 * @param libraryFile where it was loaded from
 * @param classifier the artifact it comes from: {@code linux-x86_64} or {@code linux-x86_64-cuda}
 * @param skippedLibrary why the library with CUDA was not loaded although its jar is there; null if it was, or is not
 * @param instructionSet what the CPU kernels use, for example {@code avx2}
 * @param threads CPU threads that the process may use
 * @param cudaAvailable whether a CUDA device can be used
 * @param cudaReason why none can; empty if one can
 * @param cudaDevices the devices that the driver shows
 */
public record Backend(
        String version,
        String libraryFile,
        String classifier,
        String skippedLibrary,
        String instructionSet,
        int threads,
        boolean cudaAvailable,
        String cudaReason,
        List<CudaDevice> cudaDevices) {
    /**
     * An NVIDIA GPU.
     *
     * @param index what {@link ModelOptions.Builder#deviceIndex} takes
     * @param name as the driver gives it
     * @param computeCapability for example {@code 9.0}
     * @param memoryBytes of the device
     * @param freeBytes of them
     * @param usable whether models can run on it
     * @param reason why not; empty if they can
     */
    public record CudaDevice(
            int index,
            String name,
            String computeCapability,
            long memoryBytes,
            long freeBytes,
            boolean usable,
            String reason) {}

    /**
     * Loads the native library if need be and describes it.
     *
     * @throws LibraryUnavailableException if there is none for this platform, or it cannot be unpacked or loaded
     */
    public static Backend describe() {
        NativeLibrary library = Native.library();
        Map<?, ?> description = (Map<?, ?>) Json.parse(Native.describe());
        Map<?, ?> cpu = (Map<?, ?>) description.get("cpu");
        Map<?, ?> cuda = (Map<?, ?>) description.get("cuda");
        List<CudaDevice> devices = new ArrayList<>();
        for (Object device : (List<?>) cuda.get("devices")) {
            devices.add(device((Map<?, ?>) device));
        }
        return new Backend(
                text(description, "version"),
                library.file(),
                library.classifier(),
                library.skipped(),
                text(cpu, "isa"),
                (int) number(cpu, "threads"),
                (Boolean) cuda.get("available"),
                text(cuda, "reason"),
                List.copyOf(devices));
    }

    private static CudaDevice device(Map<?, ?> device) {
        return new CudaDevice(
                (int) number(device, "index"),
                text(device, "name"),
                text(device, "compute_capability"),
                number(device, "memory_bytes"),
                number(device, "free_bytes"),
                (Boolean) device.get("usable"),
                text(device, "reason"));
    }

    private static String text(Map<?, ?> object, String key) {
        Object value = object.get(key);
        return value == null ? "" : (String) value;
    }

    private static long number(Map<?, ?> object, String key) {
        return ((Number) object.get(key)).longValue();
    }

    /** Several lines, without a line end behind the last one. */
    @Override
    public String toString() {
        StringBuilder out = new StringBuilder();
        out.append("Reprise ").append(version).append(", library ").append(classifier).append(" (").append(libraryFile)
                .append(")\nCPU: ").append(instructionSet).append(", ").append(threads).append(" threads");
        if (skippedLibrary != null) {
            out.append("\nNot loaded: ").append(skippedLibrary);
        }
        if (!cudaAvailable) {
            out.append("\nNo CUDA: ").append(cudaReason);
        }
        for (CudaDevice device : cudaDevices) {
            out.append("\nCUDA device ").append(device.index).append(": ").append(device.name)
                    .append(", compute capability ").append(device.computeCapability).append(", ")
                    .append(device.freeBytes >> 20).append(" of ").append(device.memoryBytes >> 20).append(" MiB free");
            if (!device.usable) {
                out.append("; not usable: ").append(device.reason);
            }
        }
        return out.toString();
    }
}
