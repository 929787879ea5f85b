package dev.reprise.natives.cuda;

import dev.reprise.natives.loader.LibraryJar;

/** Stands in the jar {@code linux-x86_64-cuda}. */
public final class CudaLibraryJar implements LibraryJar {
    /** For the service loader. */
    public CudaLibraryJar() {}
}
