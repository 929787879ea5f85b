package consumer;

import dev.reprise.Backend;
import dev.reprise.Model;
import dev.reprise.Session;
import java.nio.file.Path;

/** The program of the README, as a user would build it: once on the class path, once as a module. */
public final class Consumer {
    private Consumer() {}

    public static void main(String[] arguments) {
        System.out.println(Backend.describe());
        try (Model model = Model.load(Path.of(arguments[0]));
                Session session = model.newSession()) {
            session.generate("Once upon a time").forEach(System.out::print);
        }
        System.out.println();
    }
}
