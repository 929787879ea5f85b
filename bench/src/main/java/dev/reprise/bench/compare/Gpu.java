package dev.reprise.bench.compare;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** What {@code nvidia-smi} tells about the first GPU. */
final class Gpu {
    private final Path tool;

    private Gpu(Path tool) {
        this.tool = tool;
    }

    /** Empty where there is no driver or no device. */
    static Optional<Gpu> find() {
        return Programs.onPath("nvidia-smi").map(Gpu::new).filter(gpu -> gpu.query("name").isPresent());
    }

    /** Name and driver version. */
    String description() {
        return query("name").orElse("GPU") + ", driver " + query("driver_version").orElse("unknown");
    }

    /** Memory in use by everybody, in bytes; 0 if the driver does not tell. */
    long usedBytes() {
        return query("memory.used").filter(text -> text.matches("\\d+")).map(Long::parseLong).orElse(0L) << 20;
    }

    private Optional<String> query(String field) {
        List<String> command =
                List.of(tool.toString(), "--query-gpu=" + field, "--format=csv,noheader,nounits", "--id=0");
        try {
            return Programs.run(command, Map.of()).lines().findFirst().map(String::strip);
        } catch (IOException e) {
            return Optional.empty();
        }
    }
}
