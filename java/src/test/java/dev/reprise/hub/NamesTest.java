package dev.reprise.hub;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class NamesTest {
    @ParameterizedTest
    @ValueSource(strings = {
        "owner/repo", "Qwen/Qwen2.5-0.5B-Instruct-GGUF", "a/b:Q4_K_M", "0x_/m.i:UD-Q4_K_XL", "models/llama"
    })
    void namesOfModels(String name) {
        assertTrue(Names.isName(name));
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "", "repo", "/repo", "owner/", "./repo", "../repo", "owner/..", "a/b/c", "/a/b", "a\\b", "a/b:", "a/b:c/d",
        "a/b:../c", "a--b/c", "a/b..c", "-a/b", "a/.b", "a/b.git", "a/b\n", "a b/c", "models/model.gguf", "a/b.GGUF",
        "a/b?x=1", "a/b#c", "a/%2e%2e", "ä/b", "C:/model"
    })
    void whatIsNone(String name) {
        assertFalse(Names.isName(name));
    }

    @ParameterizedTest
    @ValueSource(strings = {"model.gguf", "Q4_K_M/a b-00001-of-00002.gguf", "refs/pr/1", "v1.0", "größe.gguf", "a..b"})
    void pathsThatStayInTheirFolder(String path) {
        assertEquals(path, Names.requirePath("the file name", path));
    }

    @Test
    void pathsThatAreRefused() {
        for (String path : List.of(
                "", "/", "/a", "a/", "a//b", ".", "..", "a/..", "a/../b", "./a", "a\\b", "C:a", "a:b", "a\u0000",
                "a\nb", "a\u202eb", "\ud800", "con", "NUL.gguf", "a/Com1.gguf", "lpt9", "aux .gguf", "a.", "a ", " a",
                "a?b", "a*", "a|b", "<a>", "\"a\"")) {
            IllegalArgumentException e = assertThrows(
                    IllegalArgumentException.class, () -> Names.requirePath("the file name", path));
            assertTrue(e.getMessage().startsWith("the file name '"), e.getMessage());
            assertFalse(e.getMessage().chars().anyMatch(Character::isISOControl));
        }
    }

    @Test
    void aPartOfAPathHasALimit() {
        assertThrows(IllegalArgumentException.class, () -> Names.requirePath("the file name", "ä".repeat(128)));
        Names.requirePath("the file name", "ä".repeat(127));
    }
}
