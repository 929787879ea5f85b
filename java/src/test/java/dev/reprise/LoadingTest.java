package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class LoadingTest {
    private static final GenerationOptions SHORT =
            GenerationOptions.builder().maxTokens(8).sampling(Sampling.greedy()).build();

    @TempDir
    Path directory;

    private static String firstWords(ModelOptions options) {
        try (Model model = Model.load(StoryModel.PATH, options);
                Session session = model.newSession()) {
            return session.complete("Once upon a time", SHORT).text();
        }
    }

    @Test
    void readingAndMappingAFileGiveTheSameModel() {
        String mapped = firstWords(ModelOptions.defaults());
        assertEquals(mapped, firstWords(ModelOptions.builder().mmap(false).build()));
    }

    @Test
    void aReadFileMayChangeAfterwards() throws IOException {
        Path copy = Files.copy(StoryModel.PATH, directory.resolve("copy.gguf"));
        try (Model model = Model.load(copy, ModelOptions.builder().mmap(false).build());
                Session session = model.newSession()) {
            Files.write(copy, new byte[0]);
            assertEquals(firstWords(ModelOptions.defaults()), session.complete("Once upon a time", SHORT).text());
        }
    }

    @Test
    void threadsAreTakenAsGiven() {
        try (Model model = Model.load(StoryModel.PATH, ModelOptions.builder().device(Device.CPU).threads(3).build())) {
            assertEquals(3, model.info().threads());
        }
        assertThrows(
                IllegalArgumentException.class,
                () -> Model.load(StoryModel.PATH, ModelOptions.builder().threads(1_000_000).build()));
    }

    @Test
    void infoTellsWhatTheModelIs() {
        try (Model model = StoryModel.load()) {
            ModelInfo info = model.info();
            assertEquals("llama", info.architecture());
            assertEquals(4096, info.vocabularySize());
            assertEquals(8, info.layerCount());
            assertEquals(256, info.embeddingLength());
            assertEquals(4, info.headCount());
            assertEquals(2, info.kvHeadCount());
            assertEquals(384, info.contextLength());
            assertTrue(info.parameterCount() > 7_000_000 && info.parameterCount() < 8_000_000);
            assertEquals("llama", model.metadata().string("general.architecture", ""));
        }
    }

    @Test
    void aModelFileTellsTensorsAndMemoryWithoutLoading() {
        try (ModelFile file = ModelFile.open(StoryModel.PATH)) {
            assertEquals(3, file.version());
            assertEquals(1, file.fileCount());
            assertEquals(file.parameterCount(), file.tensors().stream().mapToLong(TensorInfo::elements).sum());
            assertEquals(file.tensorBytes(), file.tensors().stream().mapToLong(TensorInfo::bytes).sum());
            TensorInfo embedding = file.tensors().stream()
                    .filter(tensor -> tensor.name().equals("token_embd.weight")).findFirst().get();
            assertEquals(List.of(256L, 4096L), embedding.shape());

            SessionOptions half = SessionOptions.builder().contextLength(192).build();
            MemoryNeeds whole = file.memoryNeeds(ModelOptions.defaults(), SessionOptions.defaults());
            MemoryNeeds less = file.memoryNeeds(ModelOptions.defaults(), half);
            assertEquals(whole.kvCache(), 2 * less.kvCache());
            assertTrue(whole.weights() > 4_000_000 && whole.total() > whole.weights());
        }
    }

    @Test
    void progressIsToldOnThisThreadUpToTheEnd() {
        List<Long> told = new ArrayList<>();
        Thread thread = Thread.currentThread();
        Model.load(StoryModel.PATH, ModelOptions.builder().progress((done, total) -> {
            assertSame(thread, Thread.currentThread());
            told.add(done);
            told.add(total);
        }).build()).close();

        assertTrue(told.size() >= 2);
        assertEquals(told.get(told.size() - 1), told.get(told.size() - 2));
    }

    @Test
    void whatAProgressListenerThrowsCancelsAndComesOut() {
        IllegalArgumentException own = new IllegalArgumentException("own");
        ModelOptions options = ModelOptions.builder().progress((done, total) -> {
            throw own;
        }).build();

        assertSame(own, assertThrows(IllegalArgumentException.class, () -> Model.load(StoryModel.PATH, options)));
        AssertionError error = new AssertionError("own");
        ModelOptions failing = ModelOptions.builder().progress((done, total) -> {
            throw error;
        }).build();
        assertSame(error, assertThrows(AssertionError.class, () -> Model.load(StoryModel.PATH, failing)));
        IOException checked = new IOException("own");
        ModelOptions sneaking = ModelOptions.builder().progress((done, total) -> sneak(checked)).build();
        assertSame(checked, assertThrows(IOException.class, () -> Model.load(StoryModel.PATH, sneaking)));
    }

    /** As other languages can. */
    @SuppressWarnings("unchecked")
    private static <T extends Throwable> void sneak(Throwable thrown) throws T {
        throw (T) thrown;
    }

    /** A locale that is not one of UTF-8 has names of files that it cannot express. */
    @Test
    void theNameOfAFileNeedNotBeOneOfTheLocale(@TempDir Path directory) throws IOException {
        Path folder = Files.createDirectory(directory.resolve("modèles 100%41"));
        Path file = Files.copy(StoryModel.PATH, folder.resolve("a+b é.gguf"));
        String encoding = System.getProperty("sun.jnu.encoding");
        System.setProperty("sun.jnu.encoding", "ANSI_X3.4-1968");
        try {
            ModelFile.open(file).close();
        } finally {
            System.setProperty("sun.jnu.encoding", encoding);
        }
    }

    @Test
    void manyLoadsWithProgressRunAtOnce() throws InterruptedException {
        List<Thread> threads = new ArrayList<>();
        List<String> done = java.util.Collections.synchronizedList(new ArrayList<>());
        for (int i = 0; i < 16; i++) {
            String name = "load " + i;
            Thread thread = new Thread(() -> {
                List<Long> told = new ArrayList<>();
                Model.load(StoryModel.PATH, ModelOptions.builder().progress((part, total) -> told.add(part)).build())
                        .close();
                if (!told.isEmpty()) {
                    done.add(name);
                }
            });
            threads.add(thread);
            thread.start();
        }
        for (Thread thread : threads) {
            thread.join();
        }
        assertEquals(16, done.size());
    }

    @Test
    void interruptingALoadWithProgressCancelsIt() {
        Thread.currentThread().interrupt();
        ModelOptions options = ModelOptions.builder().progress((done, total) -> {}).build();
        assertThrows(CancelledException.class, () -> Model.load(StoryModel.PATH, options));
        assertTrue(Thread.interrupted());
    }

    @Test
    void aMissingFileIsNamed() {
        UncheckedIOException e =
                assertThrows(UncheckedIOException.class, () -> Model.load(directory.resolve("not there.gguf")));
        assertTrue(e.getMessage().contains("not there.gguf"), e.getMessage());
    }

    @Test
    void aDirectoryIsNoModel() {
        assertThrows(RuntimeException.class, () -> Model.load(directory));
    }

    @Test
    void aFileOfAnotherFormatIsRefused() throws IOException {
        Path file = Files.writeString(directory.resolve("a.gguf"), "This is no model but a text of some length.");
        ModelFormatException e = assertThrows(ModelFormatException.class, () -> Model.load(file));
        assertEquals(ErrorCode.MODEL_FORMAT, e.code());
        assertTrue(e.getMessage().contains("a.gguf"), e.getMessage());
    }

    @Test
    void aTruncatedFileIsRefused() throws IOException {
        byte[] bytes = Files.readAllBytes(StoryModel.PATH);
        for (int size : new int[] {0, 3, 20, 100, 50_000, bytes.length - 1}) {
            Path file = Files.write(directory.resolve("short.gguf"), Arrays.copyOf(bytes, size));
            assertThrows(ModelFormatException.class, () -> Model.load(file), size + " bytes");
        }
    }

    @Test
    void anUnknownArchitectureIsNamedTogetherWithTheSupportedOnes() {
        TestVocabulary vocabulary = TinyModel.byteVocabulary();
        Path file = TinyModel.write(directory, replaced(TinyModel.bytes(vocabulary), "llama", "lemma"));
        UnsupportedModelException e = assertThrows(UnsupportedModelException.class, () -> Model.load(file));
        assertTrue(e.getMessage().contains("lemma") && e.getMessage().contains("llama"), e.getMessage());
    }

    @Test
    void anUnknownTokenizerIsNamed() {
        TestVocabulary vocabulary = TinyModel.byteVocabulary().set("pre", "klingon");
        Path file = TinyModel.write(directory, TinyModel.bytes(vocabulary));
        UnsupportedModelException e = assertThrows(UnsupportedModelException.class, () -> Model.load(file));
        assertTrue(e.getMessage().contains("klingon"), e.getMessage());
    }

    @Test
    void aModelWithoutATokenizerTakesIds() {
        TestVocabulary vocabulary = TinyModel.byteVocabulary().set("model", null);
        Path file = TinyModel.write(directory, TinyModel.bytes(vocabulary));
        try (Model model = Model.load(file);
                Session session = model.newSession()) {
            Generation result = session.complete(new int[] {1, 2, 3}, SHORT);
            assertEquals(8, result.ids().length);
            assertEquals("", result.text());
            assertThrows(UnsupportedModelException.class, model::tokenizer);
            assertThrows(UnsupportedModelException.class, () -> session.generate("text"));
        }
    }

    @Test
    void aModelWithADamagedTokenizerTakesIds() {
        TestVocabulary vocabulary = TinyModel.byteVocabulary().set("merges", null);
        Path file = TinyModel.write(directory, TinyModel.bytes(vocabulary));
        try (LogRecorder log = new LogRecorder();
                Model model = Model.load(file);
                Session session = model.newSession()) {
            assertTrue(log.takeWarnings().get(0).contains("tokenizer.ggml.merges"));
            assertEquals(8, session.complete(new int[] {1, 2, 3}, SHORT).ids().length);
            for (int i = 0; i < 2; i++) {
                ModelFormatException e = assertThrows(ModelFormatException.class, () -> session.generate("text"));
                assertTrue(e.getMessage().contains("tokenizer.ggml.merges"), e.getMessage());
            }
        }
    }

    @Test
    void aMissingDeviceIsExplained() {
        Backend backend = Backend.describe();
        ModelOptions cuda = ModelOptions.builder().device(Device.CUDA).build();
        if (backend.cudaAvailable()) {
            try (Model model = Model.load(StoryModel.PATH, cuda)) {
                assertEquals(Device.CUDA, model.info().device());
            }
            return;
        }
        DeviceUnavailableException e =
                assertThrows(DeviceUnavailableException.class, () -> Model.load(StoryModel.PATH, cuda));
        assertEquals(ErrorCode.DEVICE_UNAVAILABLE, e.code());
        assertTrue(e.getMessage().contains(backend.classifier()), e.getMessage());
        try (Model model = StoryModel.load()) {
            assertEquals(Device.CPU, model.info().device());
        }
    }

    /** With a text exchanged for one of the same length. */
    private static byte[] replaced(byte[] bytes, String old, String with) {
        byte[] result = bytes.clone();
        byte[] from = old.getBytes();
        byte[] to = with.getBytes();
        for (int at = 0; at + from.length <= bytes.length; at++) {
            if (Arrays.equals(bytes, at, at + from.length, from, 0, from.length)) {
                System.arraycopy(to, 0, result, at, to.length);
            }
        }
        return result;
    }
}
