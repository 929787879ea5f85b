package dev.reprise.hub;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.reprise.ModelNotFoundException;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Which files are meant, by the ways in which publishers name them. */
class ModelChoiceTest {
    private static final List<String> PUBLISHED = List.of(
            ".gitattributes", "README.md", "config.json", "imatrix.gguf", "mmproj-F16.gguf", "m-mmproj-Q8_0.gguf",
            "m-BF16.gguf", "m-IQ4_NL.gguf", "m-Q4_0.gguf", "m-Q4_K_M.gguf", "m-Q4_K_S.gguf", "m-Q8_0.gguf",
            "m-UD-Q4_K_XL.gguf", "m-UD-Q4_K_M.gguf", "m-TQ1_0.gguf", "m-MXFP4_MOE.gguf",
            "F32/m-F32-00001-of-00003.gguf", "F32/m-F32-00002-of-00003.gguf", "F32/m-F32-00003-of-00003.gguf");

    private static List<String> choose(String quant, String... names) {
        return ModelChoice.byQuant("owner/repo", List.of(names), quant);
    }

    private static List<String> published(String quant) {
        return ModelChoice.byQuant("owner/repo", PUBLISHED, quant);
    }

    private static String fails(String quant, String... names) {
        return assertThrows(ModelNotFoundException.class, () -> choose(quant, names)).getMessage();
    }

    @Test
    void everyQuantisationIsFoundByItsName() {
        for (String quant : List.of("BF16", "IQ4_NL", "Q4_0", "Q4_K_M", "Q4_K_S", "Q8_0", "UD-Q4_K_XL", "UD-Q4_K_M",
                "TQ1_0", "MXFP4_MOE")) {
            assertEquals(List.of("m-" + quant + ".gguf"), published(quant));
            assertEquals(List.of("m-" + quant + ".gguf"), published(quant.toLowerCase()));
        }
        assertEquals(List.of("m-UD-Q4_K_XL.gguf"), published("Q4_K_XL"), "the only one of that size");
        assertEquals(
                List.of("F32/m-F32-00001-of-00003.gguf", "F32/m-F32-00002-of-00003.gguf",
                        "F32/m-F32-00003-of-00003.gguf"),
                published("F32"));
    }

    @Test
    void withoutAQuantisationTheOnlyModelIsMeantOrQ4KM() {
        assertEquals(List.of("m-Q4_K_M.gguf"), published(null));
        assertEquals(List.of("whatever.gguf"), choose(null, "whatever.gguf", "mmproj.gguf", "README.md"));
        String message = fails(null, "m-Q8_0.gguf", "m-Q4_0.gguf");
        assertTrue(message.contains("no Q4_K_M") && message.contains("m-Q4_0.gguf, m-Q8_0.gguf"), message);
    }

    @Test
    void partOfAQuantisationsNameIsNotItsName() {
        assertTrue(fails("Q4_K", "m-Q4_K_M.gguf", "m-Q4_K_S.gguf").contains("no Q4_K;"));
        assertTrue(fails("Q4_0", "m-IQ4_0.gguf", "m-Q4_0_4_4.gguf").contains("no Q4_0;"));
        assertTrue(fails("F16", "m-BF16.gguf", "mmproj-F16.gguf").contains("no F16;"));
        assertTrue(fails("mmproj", "m-Q8_0.gguf", "mmproj-F16.gguf").contains("no mmproj;"));
    }

    @Test
    void otherWaysToWriteNames() {
        assertEquals(List.of("model_q4_k_m.gguf"), choose("Q4_K_M", "model_q4_k_m.gguf", "model_q8_0.gguf"));
        assertEquals(List.of("m.Q4_K_M.gguf"), choose("Q4_K_M", "m.Q4_K_M.gguf", "m.Q8_0.gguf"));
        assertEquals(List.of("Q8_0/m.gguf"), choose("Q8_0", "Q4_0/m.gguf", "Q8_0/m.gguf"));
        assertEquals(List.of("m-new9.gguf"), choose("NEW9", "m-new9.gguf", "m-new99.gguf"));
        assertEquals(List.of("M-Q8_0.GGUF"), choose("Q8_0", "M-Q8_0.GGUF", "m-q4_0.gguf"));
    }

    @Test
    void aModelThatIsThereWholeIsNotTakenInParts() {
        assertEquals(List.of("m-Q8_0.gguf"),
                choose("Q8_0", "m-Q8_0-00001-of-00002.gguf", "m-Q8_0-00002-of-00002.gguf", "m-Q8_0.gguf"));
    }

    @Test
    void severalThatFitAreListed() {
        String message = fails("Q8_0", "a-Q8_0.gguf", "b-Q8_0.gguf", "c-Q4_0.gguf");
        assertTrue(message.contains("several") && message.contains("a-Q8_0.gguf, b-Q8_0.gguf")
                && !message.contains("c-Q4_0"), message);
    }

    @Test
    void missingPartsAreNamed() {
        String message = fails("Q8_0", "m-Q8_0-00001-of-00003.gguf", "m-Q8_0-00003-of-00003.gguf", "m-Q4_0.gguf");
        assertTrue(message.contains("3 parts") && message.contains("m-Q8_0-00002-of-00003.gguf"), message);
    }

    @Test
    void aRepositoryWithoutModelsSaysSo() {
        assertTrue(fails(null, "model.safetensors", "mmproj-F16.gguf").contains("no GGUF model"));
        assertTrue(fails("Q8_0").contains("no GGUF model"));
    }

    @Test
    void numbersThatMakeNoSenseArePartOfAName() {
        for (String name : List.of("m-00000-of-00002.gguf", "m-00003-of-00002.gguf", "m-00001-of-00000.gguf",
                "m-00001-of-99999.gguf")) {
            assertEquals(List.of(name), ModelChoice.partsOf(name));
        }
        assertEquals(List.of("m-00001-of-00001.gguf"), choose(null, "m-00001-of-00001.gguf"));
    }
}
