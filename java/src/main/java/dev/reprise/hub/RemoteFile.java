package dev.reprise.hub;

/**
 * A file of a repository as the hub describes it.
 *
 * @param name its path in the repository
 * @param commit of the repository
 * @param etag what its content is checked against, and the name of its blob: the SHA-256 of its bytes, or for small
 *     files git's SHA-1 of them
 * @param size in bytes
 */
record RemoteFile(String name, String commit, String etag, long size) {}
