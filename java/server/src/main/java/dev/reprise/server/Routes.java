package dev.reprise.server;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;

/** Which paths there are, and who answers them. */
final class Routes {
    /** Answers a request, or has it answered by other threads. */
    @FunctionalInterface
    interface Handler {
        void handle(Exchange exchange) throws InterruptedException;
    }

    /**
     * A path that is answered.
     *
     * @param open whether everybody may ask, with a key or without
     */
    record Route(String method, String path, boolean open, Handler handler) {}

    private static final String VERSION = "/v1";
    private static final String MESSAGES = VERSION + "/messages";

    private final Map<String, List<Route>> byPath = new LinkedHashMap<>();

    void add(String method, String path, boolean open, Handler handler) {
        byPath.computeIfAbsent(path, key -> new ArrayList<>()).add(new Route(method, path, open, handler));
    }

    static boolean isAnthropic(String path) {
        String whole = path.startsWith(VERSION + "/") ? path : VERSION + path;
        return whole.equals(MESSAGES) || whole.startsWith(MESSAGES + "/") || whole.startsWith(MESSAGES + "?");
    }

    /**
     * The route of a method and a path, with or without {@code /v1} in front.
     *
     * @throws ApiException if there is none
     */
    Route find(String method, String path) {
        List<Route> routes = routes(path);
        if (routes == null) {
            throw ApiException.notFound("unknown_url", null, "there is nothing at " + shown(path) + ": "
                    + String.join(", ", byPath.keySet()) + " are answered");
        }
        for (Route route : routes) {
            if (route.method().equals(method)) {
                return route;
            }
        }
        TreeSet<String> methods = new TreeSet<>();
        routes.forEach(route -> methods.add(route.method()));
        throw ApiException.of(405, "invalid_request_error", "method_not_allowed",
                path + " takes " + String.join(" and ", methods) + ", not " + method);
    }

    private List<Route> routes(String path) {
        List<Route> routes = byPath.get(path);
        if (routes == null) {
            routes = byPath.get(VERSION + path);
        }
        if (routes == null && path.startsWith(VERSION + "/models/")) {
            routes = byPath.get(VERSION + "/models/");
        }
        return routes;
    }

    private static String shown(String path) {
        int most = 100;
        return path.length() > most ? path.substring(0, most) + "..." : path;
    }
}
