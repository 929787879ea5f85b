package dev.reprise.natives.loader;

/**
 * What each jar with a native library provides as a service. Nothing calls it: the module system resolves the providers
 * of a service that a module uses, and so a library jar on the module path is found without {@code --add-modules}.
 */
public interface LibraryJar {}
