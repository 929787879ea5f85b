package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.function.LongConsumer;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Handles that are no good are refused with an exception that says what they are. */
class HandleTest {
    private static final List<LongConsumer> FILE_CALLS = List.of(
            Native::fileInfo,
            file -> Native.metadata(file, 1),
            file -> Native.tensors(file, 1),
            file -> Native.memoryNeeds(file, ModelOptions.defaults(), SessionOptions.defaults()),
            file -> Native.loadModel(file, ModelOptions.defaults()),
            Native::closeFile);

    private static final List<LongConsumer> MODEL_CALLS = List.of(
            model -> Native.modelInfo(model, "llama"),
            model -> Native.openSession(model, SessionOptions.defaults()),
            model -> Native.restoreSession(model, StoryModel.PATH, 0, SessionOptions.defaults()),
            Native::closeModel);

    private static final List<LongConsumer> SESSION_CALLS = List.of(
            Native::cancel,
            Native::position,
            Native::contextLength,
            Native::history,
            session -> Native.rewind(session, 0),
            session -> Native.evaluate(session, new int[] {1}),
            session -> Native.logits(session, new float[4096]),
            Native::end,
            Native::statistics,
            session -> Native.forkSession(session, 0),
            session -> Native.saveSession(session, 0, Path.of("no", "such", "folder"), new byte[0]),
            session -> {
                try (Native.Exchange exchange = new Native.Exchange()) {
                    exchange.generate(session, new int[] {1}, GenerationOptions.defaults(), 1, new int[0], new int[0],
                            0);
                }
            },
            session -> {
                try (Native.Exchange exchange = new Native.Exchange()) {
                    exchange.next(session);
                }
            },
            Native::closeSession);

    private static final Map<String, List<LongConsumer>> CALLS =
            Map.of("file", FILE_CALLS, "model", MODEL_CALLS, "session", SESSION_CALLS);

    @BeforeAll
    static void load() {
        Native.library();
    }

    private static void assertRefused(String kind, long handle, String says) {
        for (LongConsumer call : CALLS.get(kind)) {
            IllegalStateException e = assertThrows(IllegalStateException.class, () -> call.accept(handle));
            assertTrue(e.getMessage().contains(says), e.getMessage());
        }
    }

    @Test
    void nullHandlesAreRefused() {
        for (String kind : CALLS.keySet()) {
            assertRefused(kind, 0, "the " + kind + " handle is null");
        }
    }

    @Test
    void numbersThatAreNoHandlesAreRefused() {
        for (String kind : CALLS.keySet()) {
            for (long number : new long[] {1, -1, 42, Long.MIN_VALUE, Long.MAX_VALUE, 0x7f0000001000L}) {
                assertRefused(kind, number, "");
            }
        }
    }

    @Test
    void handlesOfAnotherKindAreRefused() {
        long file = Native.openFile(StoryModel.PATH, true);
        long model = Native.loadModel(file, ModelOptions.defaults());
        long session = Native.openSession(model, SessionOptions.defaults());
        assertRefused("file", model, "a model handle was given where a file handle is wanted");
        assertRefused("file", session, "a session handle");
        assertRefused("model", file, "a file handle");
        assertRefused("model", session, "a session handle");
        assertRefused("session", file, "a file handle");
        assertRefused("session", model, "a model handle");
        assertEquals(384, Native.contextLength(session));
        Native.closeSession(session);
        Native.closeModel(model);
        Native.closeFile(file);
    }

    @Test
    void closedAndStaleHandlesAreRefused() {
        long file = Native.openFile(StoryModel.PATH, true);
        long model = Native.loadModel(file, ModelOptions.defaults());
        long session = Native.openSession(model, SessionOptions.defaults());
        Native.closeSession(session);
        Native.closeModel(model);
        Native.closeFile(file);
        assertRefused("session", session, "closed");
        assertRefused("model", model, "closed");
        assertRefused("file", file, "closed");

        // New objects may take the places of the closed ones in the native library's table.
        try (Model other = StoryModel.load();
                Session otherSession = other.newSession()) {
            assertRefused("session", session, "closed");
            assertRefused("model", model, "closed");
            assertRefused("file", file, "closed");
            assertEquals(0, otherSession.position());
        }
    }

    @Test
    void objectsAreClosedOnceAndRefuseCallsAfterwards() {
        Model model = StoryModel.load();
        Session session = model.newSession();
        session.close();
        session.close();
        assertThrows(IllegalStateException.class, session::position);
        assertThrows(IllegalStateException.class, () -> session.generate("x"));
        session.cancel();
        assertEquals(384, session.contextLength());

        model.close();
        model.close();
        assertThrows(IllegalStateException.class, model::newSession);
        assertEquals(4096, model.tokenizer().vocabularySize());
        assertEquals("llama", model.info().architecture());
    }

    @Test
    void closingTheModelClosesItsSessions() {
        Model model = StoryModel.load();
        Session session = model.newSession();
        TokenStream stream = session.generate("Once upon a time");
        model.close();
        assertThrows(IllegalStateException.class, stream.iterator()::next);
        assertThrows(IllegalStateException.class, () -> session.generate("x"));
        session.cancel();
        session.close();
    }

    @Test
    void modelFilesRefuseCallsOnceClosed() {
        ModelFile file = ModelFile.open(StoryModel.PATH);
        file.close();
        file.close();
        assertThrows(IllegalStateException.class, file::metadata);
        assertThrows(IllegalStateException.class, file::tensors);
    }
}
