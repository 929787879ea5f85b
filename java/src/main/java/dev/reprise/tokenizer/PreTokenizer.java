package dev.reprise.tokenizer;

import dev.reprise.UnsupportedModelException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Supplier;

/**
 * Cuts text into the words within which byte-level BPE merges. Each is defined by regular expressions of the model's
 * authors. The usual ones are scanners written by hand; the others are the expressions themselves.
 */
abstract class PreTokenizer {
    /**
     * What a name in {@code tokenizer.ggml.pre} stands for.
     *
     * @param wholeWordsFirst whether a word that is a token never goes through the merges
     * @param addsBos whether text begins with the token of begin of text unless the file says otherwise
     */
    record Kind(Supplier<PreTokenizer> maker, boolean wholeWordsFirst, boolean addsBos) {}

    private static final Map<String, Kind> KINDS = new TreeMap<>();

    static {
        add(() -> new TiktokenScanner(3), true, true, "llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1",
                "pixtral", "midm-2.0", "lfm2", "jina-v5-nano");
        add(() -> new TiktokenScanner(3), false, false, "dbrx", "smaug-bpe", "chatglm-bpe", "glm4");
        add(() -> new TiktokenScanner(1), false, false, "qwen2", "deepseek-r1-qwen", "stablelm2", "hunyuan",
                "solar-open", "megrez", "grok-2", "kormo", "f2llmv2");
        add(() -> new Gpt2Scanner(false), false, false, "gpt-2", "phi-2", "mpt", "olmo", "dolma", "gpt-neox", "jais",
                "trillion", "granite-docling", "exaone4", "gigachat", "a.x-4.0", "mellum", "modern-bert", "roberta-bpe",
                "jina-es", "jina-de", "jina-v1-en", "jina-v2-es", "jina-v2-de", "jina-v2-code");
        add(() -> new Gpt2Scanner(true), false, false, "smollm", "starcoder", "refact", "command-r", "codeshell",
                "exaone", "minerva-7b", "mellum2");
        add(DefaultScanner::new, false, false, "default");
        add(Expressions::falcon, false, false, "falcon");
        add(Expressions::deepseekLlm, false, false, "deepseek-llm");
        add(Expressions::deepseekCoder, false, false, "deepseek-coder");
        add(Expressions::deepseekV3, false, false, "deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4");
        add(Expressions::qwen35, false, false, "qwen35");
        add(Expressions::gpt4o, false, false, "gpt-4o", "llama4", "minimax-m2", "kanana2", "talkie");
        add(Expressions::gpt4o, true, false, "granite-embed-multi-97m");
        add(Expressions::tekken, true, true, "tekken");
        add(Expressions::bloom, false, false, "bloom", "poro-chat", "gpt3-finnish");
        add(Expressions::viking, false, false, "viking");
        add(Expressions::kimiK2, false, false, "kimi-k2");
        add(Expressions::superBpe, false, false, "superbpe");
        add(Expressions::bailingMoe, false, false, "bailingmoe", "bailingmoe2", "llada-moe");
        add(Expressions::seedCoder, false, false, "seed-coder");
        add(Expressions::afMoe, false, false, "afmoe");
        add(Expressions::exaoneMoe, false, false, "exaone-moe");
        add(Expressions::jais2, false, false, "jais-2");
        add(Expressions::tinyAya, false, false, "tiny_aya", "cohere2moe");
        add(Expressions::youtu, true, false, "youtu");
        add(Expressions::laguna, false, false, "laguna");
        add(Expressions::miniCpm5, true, false, "minicpm5");
        add(Expressions::chameleon, false, true, "chameleon");
    }

    private static void add(Supplier<PreTokenizer> maker, boolean wholeWordsFirst, boolean addsBos, String... names) {
        for (String name : names) {
            KINDS.put(name, new Kind(maker, wholeWordsFirst, addsBos));
        }
    }

    /** @throws UnsupportedModelException if {@code name} is none that is known */
    static Kind kind(String name) {
        Kind kind = KINDS.get(name);
        if (kind == null) {
            throw new UnsupportedModelException("pre-tokenizer '" + name + "' (tokenizer.ggml.pre) is not supported; "
                    + "supported are " + String.join(", ", KINDS.keySet()));
        }
        return kind;
    }

    /** @throws UnsupportedModelException if {@code name} is none that is known */
    static PreTokenizer named(String name) {
        return kind(name).maker().get();
    }

    static List<String> names() {
        return new ArrayList<>(KINDS.keySet());
    }

    /** Appends the end of every word of {@code text[from, to)}, UTF-8. */
    abstract void cut(byte[] text, int from, int to, IntList ends);
}
