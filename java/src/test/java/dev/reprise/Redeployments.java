package dev.reprise;

import java.io.File;
import java.io.IOException;
import java.lang.ref.WeakReference;
import java.net.MalformedURLException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** A program that deploys {@link Redeployed} again and again, as an application server does. */
final class Redeployments {
    /** A deadline for what takes a collection or two. */
    private static final int MOST_COLLECTIONS = 200;

    private final URL[] classPath;
    private final String model;
    private final List<WeakReference<ClassLoader>> deployed = new ArrayList<>();

    private Redeployments(String model) throws MalformedURLException {
        String[] entries = System.getProperty("java.class.path").split(File.pathSeparator);
        classPath = new URL[entries.length];
        for (int i = 0; i < entries.length; i++) {
            classPath[i] = Path.of(entries[i]).toUri().toURL();
        }
        this.model = model;
    }

    /** {@code MODEL TIMES closed|left|beside}. */
    public static void main(String[] arguments) throws Exception {
        Redeployments redeployments = new Redeployments(arguments[0]);
        int times = Integer.parseInt(arguments[1]);
        if (arguments[2].equals("beside")) {
            redeployments.deployBeside(times);
        } else {
            redeployments.redeploy(times, arguments[2].equals("closed"));
        }
    }

    /** Each after the one before is undeployed. */
    private void redeploy(int times, boolean closes) throws Exception {
        int threads = 0;
        int files = 0;
        for (int i = 0; i < times; i++) {
            deploy(closes);
            collect();
            String stay = alive() + " class loaders and " + mapped() + " libraries stay after " + i;
            require(alive() == 0 && mapped() == 0, stay);
            int nowOpen = entries("/proc/self/fd");
            if (i == 4) {  // what the JVM starts once is started
                threads = entries("/proc/self/task");
                files = nowOpen;
            } else if (i > 4) {
                int nowRunning = entries("/proc/self/task");
                require(nowRunning <= threads + 1, nowRunning + " threads after " + i + ", before " + threads);
                require(nowOpen <= files + 2, nowOpen + " open files after " + i + ", before " + files);
            }
        }
        for (Thread thread : Thread.getAllStackTraces().keySet()) {
            String name = thread.getName();
            require(!name.contains("JavaCPP") && !name.startsWith("Cleaner-") && !name.contains("reprise"), name);
        }
        System.out.println("loaders alive " + alive() + ", mapped " + mapped());
    }

    /** All at once, then none. */
    private void deployBeside(int times) throws Exception {
        List<ClassLoader> loaders = new ArrayList<>();
        for (int i = 0; i < times; i++) {
            loaders.add(deploy(true));
        }
        String beside = "mapped " + mapped() + " beside each other";
        loaders.clear();
        collect();
        System.out.println(beside + ", then loaders alive " + alive() + ", mapped " + mapped());
    }

    private ClassLoader deploy(boolean closes) throws Exception {
        URLClassLoader loader = new URLClassLoader(classPath, ClassLoader.getPlatformClassLoader());
        deployed.add(new WeakReference<>(loader));
        Thread thread = Thread.currentThread();
        ClassLoader own = thread.getContextClassLoader();
        thread.setContextClassLoader(loader);  // as servers do
        try {
            Class<?> application = Class.forName(Redeployed.class.getName(), true, loader);
            application.getMethod("run", String.class, boolean.class).invoke(null, model, closes);
        } finally {
            thread.setContextClassLoader(own);
            loader.close();
        }
        return loader;
    }

    private void collect() throws Exception {
        for (int i = 0; i < MOST_COLLECTIONS && (alive() > 0 || mapped() > 0); i++) {
            System.gc();
            Thread.sleep(20);
        }
    }

    private long alive() {
        return deployed.stream().filter(loader -> loader.get() != null).count();
    }

    private static long mapped() throws IOException {
        return Files.readAllLines(Path.of("/proc/self/maps")).stream()
                .filter(line -> line.contains("libjnireprise") && line.contains("r-xp")).count();
    }

    private static int entries(String folder) throws IOException {
        try (var entries = Files.list(Path.of(folder))) {
            return (int) entries.count();
        }
    }

    private static void require(boolean holds, String otherwise) {
        if (!holds) {
            throw new AssertionError(otherwise);
        }
    }
}
