package dev.reprise.natives.loader;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Folders that only this user can enter, in places where nobody else can exchange them for others. What lies in one was
 * written by this user (or root), and stays as it is between a look at it and its use.
 */
final class PrivateFolder {
    /** Given to mkdir, so that there is no moment at which others have rights. */
    private static final FileAttribute<Set<PosixFilePermission>> ONLY_OWNER =
            PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------"));
    private static final int ROOT = 0;
    private static final int STICKY = 01000;
    private static final int WRITABLE_BY_OTHERS = 022;
    private static final int RIGHTS = 0777;
    private static final int OF_OTHERS = 077;

    private PrivateFolder() {}

    /**
     * The private folder {@code name} in {@code parent}; creates both, and what is missing above.
     *
     * @throws IOException if that is not possible, or something else has that name; says what
     */
    static Path in(Path parent, String name) throws IOException {
        Path folder = existingOrNew(parent).resolve(name);
        makeUnlessThere(folder);
        requirePrivate(folder);
        return folder;
    }

    /** A private folder in {@code parent}, whatever its name after {@code prefix}: one that is there, or a new one. */
    static Path anyIn(Path parent, String prefix) throws IOException {
        Path real = existingOrNew(parent);
        List<Path> found = new ArrayList<>();
        try (DirectoryStream<Path> entries = Files.newDirectoryStream(real, prefix + "*")) {
            entries.forEach(found::add);
        }
        Collections.sort(found);
        for (Path entry : found) {
            if (isPrivate(entry)) {
                return entry;
            }
        }
        Path folder = Files.createTempDirectory(real, prefix, ONLY_OWNER);
        requirePrivate(folder);
        return folder;
    }

    /** A folder in one that is private already. */
    static Path within(Path folder, String name) throws IOException {
        Path inner = folder.resolve(name);
        makeUnlessThere(inner);
        return inner;
    }

    /** Whether nobody but this user and root can put anything into a folder that is there, or exchange it. */
    static boolean isOutOfReachOfOthers(Path folder) {
        try {
            Path real = folder.toRealPath();
            requireNoWayInForOthers(real);
            return (Look.at(real).mode & WRITABLE_BY_OTHERS) == 0;
        } catch (IOException e) {
            return false;
        }
    }

    /** Without symbolic links, which are fine above what is created here: the folders they lead to are looked at. */
    private static Path existingOrNew(Path folder) throws IOException {
        Path existing = folder.toAbsolutePath();
        List<Path> missing = new ArrayList<>();
        while (existing.getParent() != null && !Files.exists(existing)) {
            missing.add(0, existing.getFileName());
            existing = existing.getParent();
        }
        Path made = existing.toRealPath();
        requireNoWayInForOthers(made);
        for (Path name : missing) {
            made = made.resolve(name.toString());
            makeUnlessThere(made);
            requirePrivate(made);
        }
        return made;
    }

    private static void makeUnlessThere(Path folder) throws IOException {
        try {
            Files.createDirectory(folder, ONLY_OWNER);
        } catch (FileAlreadyExistsException e) {
            // It may be ours from another time. The caller looks.
        }
    }

    /**
     * Nobody but this user and root can rename, remove or plant anything on the way to {@code real} or in it. Whoever
     * owns the root directory is as good as root: in a sandbox with user ids of its own it is shown as nobody's.
     */
    private static void requireNoWayInForOthers(Path real) throws IOException {
        Path folder = real.getRoot();
        int system = Look.at(folder).uid;
        for (int depth = 0; depth <= real.getNameCount(); depth++) {
            if (depth > 0) {
                folder = folder.resolve(real.getName(depth - 1));
            }
            Look look = Look.at(folder);
            if (look.uid != ROOT && look.uid != system && look.uid != ownUid()) {
                throw new IOException(folder + " belongs to another user (" + look.uid + ")");
            }
            if ((look.mode & WRITABLE_BY_OTHERS) != 0 && (look.mode & STICKY) == 0) {
                throw new IOException(folder + " can be written to by other users (mode " + look.rights() + ")");
            }
            if (isPrivate(folder)) {
                return;  // others do not get further, whatever the rights of what is below
            }
        }
    }

    private static boolean isPrivate(Path folder) throws IOException {
        try {
            return whyNotPrivate(folder) == null;
        } catch (NoSuchFileException e) {
            return false;
        }
    }

    private static void requirePrivate(Path folder) throws IOException {
        String why = whyNotPrivate(folder);
        if (why != null) {
            throw new IOException(folder + " " + why);
        }
    }

    private static String whyNotPrivate(Path folder) throws IOException {
        Look look = Look.at(folder);
        if (!look.isFolder) {
            return "is a symbolic link or no folder";
        } else if (look.uid != ownUid()) {
            return "belongs to another user (" + look.uid + ")";
        } else if ((look.mode & OF_OTHERS) != 0 || (look.mode & RIGHTS) != (RIGHTS & ~OF_OTHERS)) {
            return "has the rights " + look.rights() + ", where 700 are needed";
        }
        return null;
    }

    private static int ownUid() throws IOException {
        Path status = Path.of("/proc/self/status");
        for (String line : Files.readAllLines(status)) {
            if (line.startsWith("Uid:")) {
                return Integer.parseUnsignedInt(line.split("\\s+")[2]);  // real, effective, saved, of files
            }
        }
        throw new IOException(status + " does not tell the user");
    }

    /** At a folder itself, not at what a symbolic link leads to. */
    private record Look(int uid, int mode, boolean isFolder) {
        static Look at(Path path) throws IOException {
            Map<String, Object> look =
                    Files.readAttributes(path, "unix:uid,mode,isDirectory", LinkOption.NOFOLLOW_LINKS);
            return new Look((Integer) look.get("uid"), (Integer) look.get("mode"), (Boolean) look.get("isDirectory"));
        }

        String rights() {
            return Integer.toOctalString(mode & (STICKY | RIGHTS));
        }
    }
}
