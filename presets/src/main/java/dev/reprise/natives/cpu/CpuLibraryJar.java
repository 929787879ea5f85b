package dev.reprise.natives.cpu;

import dev.reprise.natives.loader.LibraryJar;

/** Stands in the jar {@code linux-x86_64}. */
public final class CpuLibraryJar implements LibraryJar {
    /** For the service loader. */
    public CpuLibraryJar() {}
}
