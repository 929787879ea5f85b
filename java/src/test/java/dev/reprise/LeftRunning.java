package dev.reprise;

import java.nio.file.Path;

/** A program whose main method ends while a generation runs in the background and nothing is closed. */
final class LeftRunning {
    private LeftRunning() {}

    public static void main(String[] arguments) throws InterruptedException {
        Model model = Model.load(Path.of(arguments[0]), ModelOptions.builder().exact(true).threads(2).build());
        Session session = model.newSession();
        boolean done = session.completeAsync("Once upon a time").isDone();
        Thread.sleep(100);
        System.out.println(done ? "done" : "left");
    }
}
