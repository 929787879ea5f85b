package dev.reprise.hub;

import dev.reprise.ModelNotFoundException;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Locale;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * Which of a repository's files are the model that was asked for. A model is a GGUF file, or all of
 * {@code NAME-00001-of-0000N.gguf}; image projectors and importance matrices are GGUF files, but no models.
 */
final class ModelChoice {
    /** As llama.cpp and the hub take it where none is named. */
    private static final String DEFAULT_QUANT = "Q4_K_M";
    private static final int MAX_LISTED = 40;
    private static final int MAX_PARTS = 999;

    private static final Pattern SPLIT =
            Pattern.compile("(.*)-(\\d{5})-of-(\\d{5})(\\.gguf)", Pattern.CASE_INSENSITIVE);
    /** The names of quantisations, with the mark of those that are dynamic. */
    private static final Pattern QUANT = Pattern.compile(
            "(?<![A-Za-z0-9])((?:UD-)?(?:IQ[1-9]_[A-Z0-9]+|T?Q[1-9](?:_[A-Z0-9]+)*|MXFP4(?:_MOE)?|NVFP4"
                    + "|B?F16|FP16|F32|FP32))(?![A-Za-z0-9_])",
            Pattern.CASE_INSENSITIVE);

    /**
     * A model of a repository.
     *
     * @param name its path, of a split one without the number
     * @param files its files in order; of a split one all that its number says, be they there or not
     */
    private record Candidate(String name, List<String> files) {
        boolean isQuant(String quant) {
            Matcher quants = QUANT.matcher(name);
            while (quants.find()) {
                if (quants.group(1).equalsIgnoreCase(quant)) {
                    return true;
                }
            }
            return false;
        }

        /** Whether the name has it as a word: quantisations that are not known here. */
        boolean hasWord(String quant) {
            return Pattern.compile("(?i)(?<![A-Za-z0-9])" + Pattern.quote(quant) + "(?![A-Za-z0-9_])")
                    .matcher(name).find();
        }
    }

    private ModelChoice() {}

    /**
     * The files of the model, the first one first.
     *
     * @param where the repository, for messages
     * @param names all files there are
     * @param quant null: the only model, or else Q4_K_M
     * @throws ModelNotFoundException if there is none or several; the message lists what there is
     */
    static List<String> byQuant(String where, Collection<String> names, String quant) {
        List<Candidate> all = candidates(names);
        if (all.isEmpty()) {
            throw new ModelNotFoundException(where + " has no GGUF model"
                    + (names.isEmpty() ? "" : ": look for a repository of converted files, often named ...-GGUF"));
        }
        if (quant == null && all.size() == 1) {
            return complete(where, all.get(0), names);
        }
        String wanted = quant == null ? DEFAULT_QUANT : quant;
        List<Candidate> fitting = all.stream().filter(candidate -> candidate.isQuant(wanted)).toList();
        if (fitting.isEmpty()) {
            fitting = all.stream().filter(candidate -> candidate.hasWord(wanted)).toList();
        }
        if (fitting.size() > 1 && sameName(fitting)) {
            // The same model whole and in parts.
            fitting = fitting.stream().filter(candidate -> candidate.files().size() == 1).toList();
        }
        if (fitting.size() == 1) {
            return complete(where, fitting.get(0), names);
        } else if (fitting.isEmpty()) {
            throw new ModelNotFoundException(where + " has no " + wanted
                    + (quant == null ? ", which is taken where none is named" : "") + "; it has: " + listed(all)
                    + ". Name one behind a colon, or its file");
        }
        throw new ModelNotFoundException(where + " has several models of " + wanted + ": " + listed(fitting)
                + ". Name the file of one");
    }

    private static boolean sameName(List<Candidate> candidates) {
        return candidates.size() == 2 && candidates.get(0).name().equals(candidates.get(1).name());
    }

    /** All parts, in order, of the split model that a file is part of; else the file alone. */
    static List<String> partsOf(String file) {
        Matcher split = SPLIT.matcher(file);
        int parts = split.matches() ? Integer.parseInt(split.group(3)) : 0;
        int number = parts == 0 ? 0 : Integer.parseInt(split.group(2));
        if (number < 1 || number > parts || parts > MAX_PARTS) {
            return List.of(file);
        }
        List<String> files = new ArrayList<>();
        for (int i = 1; i <= parts; i++) {
            files.add(String.format(Locale.ROOT, "%s-%05d-of-%05d%s", split.group(1), i, parts, split.group(4)));
        }
        return files;
    }

    private static List<Candidate> candidates(Collection<String> names) {
        TreeMap<String, Candidate> candidates = new TreeMap<>();
        for (String name : names) {
            String lower = name.toLowerCase(Locale.ROOT);
            String file = lower.substring(lower.lastIndexOf('/') + 1);
            if (file.endsWith(".gguf") && !file.contains("mmproj") && !file.contains("imatrix")) {
                List<String> files = partsOf(name);
                Matcher split = SPLIT.matcher(name);
                boolean parted = files.size() > 1 && split.matches();
                candidates.put(files.get(0), new Candidate(parted ? split.group(1) + split.group(4) : name, files));
            }
        }
        return List.copyOf(candidates.values());
    }

    private static List<String> complete(String where, Candidate chosen, Collection<String> names) {
        List<String> missing = chosen.files().stream().filter(file -> !names.contains(file)).toList();
        if (!missing.isEmpty()) {
            throw new ModelNotFoundException(where + " has " + chosen.name() + " in " + chosen.files().size()
                    + " parts, but not " + Names.printable(String.join(", ", missing)));
        }
        return chosen.files();
    }

    private static String listed(List<Candidate> candidates) {
        String list = candidates.stream().limit(MAX_LISTED)
                .map(candidate -> Names.printable(candidate.name())
                        + (candidate.files().size() == 1 ? "" : " (" + candidate.files().size() + " parts)"))
                .collect(Collectors.joining(", "));
        return candidates.size() <= MAX_LISTED ? list : list + " and " + (candidates.size() - MAX_LISTED) + " more";
    }
}
