package dev.reprise.hub;

import java.net.URI;
import java.nio.file.Path;

/**
 * Which model, where it comes from and where it goes to. Its parts are checked before this is made.
 *
 * @param quant null: the only one, or Q4_K_M
 * @param file null: by the quantisation
 * @param token null: none
 */
public record Source(
        String repository, String revision, String quant, String file, URI endpoint, String token, Path cache,
        boolean offline) {
    @Override
    public String toString() {
        return repository + (quant == null ? "" : ":" + quant) + (file == null ? "" : ", file " + file)
                + (revision.equals("main") ? "" : ", revision " + revision);
    }
}
