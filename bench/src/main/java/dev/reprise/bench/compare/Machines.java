package dev.reprise.bench.compare;

import dev.reprise.bench.compare.Results.Machine;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/** Describes the machine. */
final class Machines {
    private Machines() {}

    static Machine describe(int threads, Optional<Gpu> gpu) throws IOException {
        String cpu = field("/proc/cpuinfo", "model name");
        String memory = field("/proc/meminfo", "MemTotal").replaceAll("\\D", "");
        return new Machine(cpu, threads, memory.isEmpty() ? 0 : Long.parseLong(memory) * 1024,
                System.getProperty("os.name") + " " + System.getProperty("os.version").replaceFirst("-.*", ""),
                System.getProperty("java.vm.name") + " " + System.getProperty("java.version"),
                gpu.map(Gpu::description).orElse(null));
    }

    private static String field(String file, String name) throws IOException {
        return Files.readString(Path.of(file)).lines()
                .filter(line -> line.startsWith(name))
                .findFirst()
                .map(line -> line.substring(line.indexOf(':') + 1).strip())
                .orElse("");
    }
}
