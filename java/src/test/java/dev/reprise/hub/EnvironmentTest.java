package dev.reprise.hub;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The variables of huggingface_hub, in its order. */
class EnvironmentTest {
    @TempDir
    Path home;

    private Environment with(String... variables) {
        Map<String, String> map = new HashMap<>();
        for (int i = 0; i < variables.length; i += 2) {
            map.put(variables[i], variables[i + 1]);
        }
        return new Environment(map, home);
    }

    @Test
    void theCacheIsTheFirstThatIsSet() {
        assertEquals(home.resolve(".cache/huggingface/hub"), with().cache());
        assertEquals(Path.of("/x/huggingface/hub"), with("XDG_CACHE_HOME", "/x").cache());
        assertEquals(Path.of("/h/hub"), with("HF_HOME", "/h", "XDG_CACHE_HOME", "/x").cache());
        assertEquals(Path.of("/o"), with("HUGGINGFACE_HUB_CACHE", "/o", "HF_HOME", "/h").cache());
        assertEquals(Path.of("/c"), with("HF_HUB_CACHE", "/c", "HUGGINGFACE_HUB_CACHE", "/o").cache());
        assertEquals(home.resolve("c"), with("HF_HUB_CACHE", "~/c").cache());
        assertEquals(Path.of("/h/hub"), with("HF_HUB_CACHE", "", "HF_HOME", "/h").cache());
    }

    @Test
    void theTokenIsAVariableOrAFile() throws IOException {
        assertNull(with().token());
        Path folder = Files.createDirectories(home.resolve(".cache/huggingface"));
        Files.writeString(folder.resolve("token"), "hf_file\n");
        assertEquals("hf_file", with().token());
        assertEquals("hf_variable", with("HF_TOKEN", "hf_variable").token());
        Path other = Files.writeString(home.resolve("other"), "hf_other");
        assertEquals("hf_other", with("HF_TOKEN_PATH", other.toString()).token());
    }

    @Test
    void aTokenThatIsNoneIsRefusedAndNotRepeated() {
        IllegalArgumentException e = assertThrows(
                IllegalArgumentException.class, () -> with("HF_TOKEN", "hf_a\r\nX-Evil: 1").token());
        assertTrue(e.getMessage().contains("HF_TOKEN"), e.getMessage());
        assertFalse(e.getMessage().contains("hf_a"), e.getMessage());
    }

    @Test
    void theEndpointIsAnAddress() {
        assertEquals(URI.create("https://huggingface.co"), with().endpoint());
        assertEquals(URI.create("http://mirror:8000/hf"), with("HF_ENDPOINT", "http://mirror:8000/hf//").endpoint());
        for (String wrong : List.of(
                "mirror", "ftp://mirror", "https://", "http://a:b@c", "http://a?b", "http://a b")) {
            IllegalArgumentException e = assertThrows(
                    IllegalArgumentException.class, () -> with("HF_ENDPOINT", wrong).endpoint());
            assertTrue(e.getMessage().contains(wrong), e.getMessage());
        }
    }

    @Test
    void offlineIsWhatPythonTakesForTrue() {
        for (String yes : new String[] {"1", "ON", "yes", "True"}) {
            assertTrue(with("HF_HUB_OFFLINE", yes).offline());
        }
        assertFalse(with().offline() || with("HF_HUB_OFFLINE", "0").offline() || with("HF_HUB_OFFLINE", "").offline());
    }
}
