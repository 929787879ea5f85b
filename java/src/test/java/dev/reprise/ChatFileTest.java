package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Saved chats: what comes back, and what is said of files that are none, of others, or damaged. */
class ChatFileTest {
    private static final ChatOptions OPTIONS = ChatOptions.builder()
            .template(ChatTemplate.of("{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}"
                    + "{{ eos_token }}{% endfor %}assistant: "))
            .session(SessionOptions.builder().contextLength(128).build())
            .generation(GenerationOptions.builder()
                    .maxTokens(8)
                    .sampling(Sampling.builder().temperature(1.3).repeatPenalty(1.1).seed(3).build())
                    .logprobs(true)
                    .build())
            .build();
    private static final int LENGTH_AT = 16;
    private static final int HASH_AT = LENGTH_AT + 4;
    private static final int JSON_AT = HASH_AT + 32;

    private static Model model;

    @TempDir
    private Path folder;
    private Path file;

    @BeforeAll
    static void load() {
        model = StoryModel.load();
    }

    @AfterAll
    static void close() {
        model.close();
    }

    @BeforeEach
    void save() {
        file = folder.resolve("it.chat");
        try (Chat chat = model.newChat(OPTIONS)) {
            chat.ask("Once");
            chat.save(file);
        }
    }

    private <E extends Throwable> String refused(Class<E> kind, Path path) {
        String message = assertThrows(kind, () -> model.restoreChat(path, OPTIONS)).getMessage();
        assertTrue(message.contains(path.toString()), message);
        return message;
    }

    private Path changed(byte[] bytes) throws IOException {
        return Files.write(folder.resolve("changed"), bytes);
    }

    @Test
    void goesOnToTheLastBit() {
        ChatOptions greedy = OPTIONS.toBuilder()
                .generation(OPTIONS.generation().toBuilder().sampling(Sampling.greedy()).build())
                .build();
        try (Chat chat = model.newChat(OPTIONS)) {
            List<Message> odd =
                    List.of(Message.system("Be brief. \u4f60\u597d"), Message.user("\ud83d\ude00 \"\\\n\u0000"));
            chat.send(odd, OPTIONS).forEach(part -> {});
            chat.save(file);
            try (Model again = StoryModel.load(); Chat restored = again.restoreChat(file, OPTIONS)) {
                assertEquals(chat.messages(), restored.messages());
                assertArrayEquals(chat.history(), restored.history());
                for (ChatOptions options : List.of(OPTIONS, greedy, OPTIONS)) {
                    ChatAnswer one = chat.ask(List.of(Message.user("And then?")), options);
                    ChatAnswer two = restored.ask(List.of(Message.user("And then?")), options);
                    assertEquals(one.tokens(), two.tokens());  // with their log-probabilities
                    assertEquals(one.evaluatedTokens(), two.evaluatedTokens());
                }
            }
        }
    }

    @Test
    void truncatedAnywhereItIsRefused() throws IOException {
        byte[] sound = Files.readAllBytes(file);
        for (int length = 0; length < sound.length; length += length < 1000 ? 1 : 4001) {
            refused(SessionFormatException.class, changed(Arrays.copyOf(sound, length)));
        }
        refused(SessionFormatException.class, changed(Arrays.copyOf(sound, sound.length - 1)));
        refused(SessionFormatException.class, changed(Arrays.copyOf(sound, sound.length + 1)));
    }

    @Test
    void withAnyBitFlippedItIsRefused() throws IOException {
        byte[] sound = Files.readAllBytes(file);
        for (int at = 0; at < sound.length; at += at < 1000 ? 1 : 4001) {
            byte[] flipped = sound.clone();
            flipped[at] ^= (byte) (1 << at % 8);
            // The fingerprint of the model is one of the fields: the header's hash is wrong before that is compared.
            refused(SessionFormatException.class, changed(flipped));
        }
    }

    @Test
    void whatItClaimsIsNotBelieved() throws IOException, GeneralSecurityException {
        byte[] sound = Files.readAllBytes(file);
        for (int length : new int[] {-1, Integer.MIN_VALUE, Integer.MAX_VALUE, 1 << 28}) {
            byte[] claims = sound.clone();
            ByteBuffer.wrap(claims).putInt(LENGTH_AT, length);
            refused(SessionFormatException.class, changed(claims));
        }
        for (String json : new String[] {
                "", "[]", "{}", "null", "{\"messages\":[],\"dropped\":1}", "{\"messages\":[],\"dropped\":-1}",
                "{\"messages\":3,\"dropped\":0}", "{\"messages\":[{\"role\":\"king\",\"parts\":[]}],\"dropped\":0}",
                "{\"messages\":[{}],\"dropped\":0}", "[".repeat(100_000)
        }) {
            byte[] text = json.getBytes(StandardCharsets.UTF_8);
            int session = JSON_AT + ByteBuffer.wrap(sound).getInt(LENGTH_AT);
            ByteBuffer whole = ByteBuffer.allocate(JSON_AT + text.length + sound.length - session)
                    .put(sound, 0, LENGTH_AT)
                    .putInt(text.length)
                    .put(MessageDigest.getInstance("SHA-256").digest(text))
                    .put(text)
                    .put(sound, session, sound.length - session);
            refused(SessionFormatException.class, changed(whole.array()));
        }
    }

    @Test
    void ofAnotherKindVersionOrModelItIsRefused() throws IOException {
        byte[] sound = Files.readAllBytes(file);
        sound["REPRISE CHAT ".length()] = '2';
        assertTrue(refused(SessionFormatException.class, changed(sound)).contains("newer"));
        assertTrue(refused(SessionFormatException.class, changed(new byte[0])).contains("empty"));
        assertTrue(refused(SessionFormatException.class, StoryModel.PATH).contains("no saved chat"));
        try (Session session = model.newSession()) {
            session.save(folder.resolve("session"));
        }
        assertTrue(refused(SessionFormatException.class, folder.resolve("session")).contains("no saved chat"));
        assertThrows(SessionFormatException.class, () -> model.restore(file));
        Path other = TinyModel.write(folder, TinyModel.bytes(TinyModel.byteVocabulary()));
        try (Model tiny = Model.load(other)) {
            SessionMismatchException e =
                    assertThrows(SessionMismatchException.class, () -> tiny.restoreChat(file, OPTIONS));
            assertTrue(e.getMessage().contains(file.toString()), e.getMessage());
        }
    }

    @Test
    void optionsThatDoNotFitItAreRefused() {
        ChatOptions eightBits = OPTIONS.toBuilder()
                .session(SessionOptions.builder().kvType(KvType.Q8_0).build())
                .build();
        IllegalArgumentException e =
                assertThrows(IllegalArgumentException.class, () -> model.restoreChat(file, eightBits));
        assertTrue(e.getMessage().contains("F16") && e.getMessage().contains("Q8_0"), e.getMessage());
        ChatOptions tooShort = OPTIONS.toBuilder()
                .session(SessionOptions.builder().contextLength(4).build())
                .build();
        e = assertThrows(IllegalArgumentException.class, () -> model.restoreChat(file, tooShort));
        assertTrue(e.getMessage().contains("4"), e.getMessage());
        ChatOptions longer = OPTIONS.toBuilder()
                .session(SessionOptions.builder().contextLength(300).build())
                .build();
        try (Chat chat = model.restoreChat(file, longer)) {
            assertEquals(300, chat.contextLength());
        }
    }

    @Test
    void whatCannotBeReadOrWrittenIsAnIoErrorAndChangesNothing() throws IOException, InterruptedException {
        Path pipe = folder.resolve("pipe");
        assertEquals(0, new ProcessBuilder("mkfifo", pipe.toString()).start().waitFor());
        Path none = folder.resolve("none").resolve("it");
        byte[] sound = Files.readAllBytes(file);
        try (Chat chat = model.newChat(OPTIONS)) {
            chat.ask("Other");
            Path device = Path.of("/dev/null");
            for (Path path : List.of(folder, pipe, none, file.resolve("it"), Path.of("/proc/it"), device)) {
                UncheckedIOException e = assertThrows(UncheckedIOException.class, () -> chat.save(path));
                assertTrue(e.getMessage().contains(path.toString()), e.getMessage());
                refused(UncheckedIOException.class, path);
            }
            assertFalse(Files.isRegularFile(device));
            try (Stream<Path> files = Files.list(folder)) {
                assertEquals(List.of(file, pipe), files.sorted().toList());
            }
            assertArrayEquals(sound, Files.readAllBytes(file));
            assertEquals(2, chat.messages().size());
            Path link = Files.createSymbolicLink(folder.resolve("link"), file.getFileName());
            chat.save(link);
            assertTrue(Files.isSymbolicLink(link));
            try (Chat restored = model.restoreChat(link, OPTIONS)) {
                assertEquals(chat.messages(), restored.messages());
            }
        }
    }
}
