package dev.reprise.bench.compare;

import dev.reprise.bench.compare.Results.Agreement;
import dev.reprise.bench.compare.Results.ApplicationRun;
import dev.reprise.bench.compare.Results.EngineTest;
import dev.reprise.bench.compare.Results.ModelRun;
import dev.reprise.bench.compare.Results.Peer;
import dev.reprise.bench.compare.Results.Reply;
import dev.reprise.bench.compare.Results.SequencesTest;
import dev.reprise.bench.compare.Results.TogetherRun;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.ToDoubleFunction;

/** A comparison in Markdown. */
final class Tables {
    private final StringBuilder out = new StringBuilder();

    private Tables() {}

    static String of(Results.Run run) {
        Tables tables = new Tables();
        tables.head(run);
        for (ModelRun model : run.models()) {
            tables.model(model);
        }
        return tables.out.toString();
    }

    private void head(Results.Run run) {
        Results.Machine machine = run.machine();
        line("# Reprise, llama.cpp and Ollama");
        line("");
        line("%s, commit %s, `%s`", run.date(), run.commit(), run.command());
        line("");
        line("%s, %d threads, %.0f GB; %s%s; %s", machine.cpu(), machine.threads(), machine.memoryBytes() * 1e-9,
                machine.gpu() == null ? "" : machine.gpu() + "; ", machine.system(), machine.java());
        line("");
        for (Peer peer : run.peers()) {
            line("- %s: %s", peer.name(), peer.note().isEmpty() ? version(peer) : "**" + peer.note() + "**");
        }
        line("");
        line("Medians of %d rounds, engines in turns; in brackets the lowest and the highest.", run.rounds());
    }

    private static String version(Peer peer) {
        return peer.version().isEmpty() ? "found" : peer.version();
    }

    private void model(ModelRun model) {
        line("");
        line("## %s", model.file());
        line("");
        line("%s, %.1f M parameters, %.1f MB, on %s.%s", model.architecture(), model.parameters() * 1e-6,
                model.fileBytes() * 1e-6, model.device(),
                model.floor() == 0 ? "" : String.format(Locale.ROOT,
                        " The floor: reading its %.1f MB of weights per token at %.0f GB/s allows %.0f tokens/s.",
                        model.bytesPerToken() * 1e-6, model.readBandwidth() * 1e-9, model.floor()));
        engine(model);
        sequences(model.sequences());
        agreement(model.agreement());
        applications(model.applications(), model.agreement());
        together(model.together());
    }

    // ---- engines ---------------------------------------------------------------------------------------------------

    private void engine(ModelRun model) {
        if (model.engine().isEmpty()) {
            return;
        }
        line("");
        line("### Engine: random ids in, logits out, no text");
        line("");
        line("| test | engine | tokens/s | against Reprise | GB/s of weights | %% of the floor |");
        line("|---|---|---|---|---|---|");
        for (String label : model.engine().stream().map(EngineTest::label).distinct().toList()) {
            List<EngineTest> tests = model.engine().stream().filter(test -> test.label().equals(label)).toList();
            double reference = tests.stream()
                    .filter(test -> test.engine().equals(Compare.REPRISE))
                    .mapToDouble(test -> new Samples(test.samples()).median())
                    .findFirst()
                    .orElse(0);
            for (EngineTest test : tests) {
                Samples samples = new Samples(test.samples());
                boolean weights = test.decode() && model.bytesPerToken() > 0;
                line("| %s | %s | %s | %s | %s | %s |", label, test.engine(), spread(samples),
                        against(samples, reference),
                        weights ? number(samples.median() * model.bytesPerToken() * 1e-9) : "",
                        weights && model.floor() > 0 ? number(samples.median() / model.floor() * 100) : "");
            }
        }
    }

    private void sequences(List<SequencesTest> tests) {
        if (tests.isEmpty()) {
            return;
        }
        line("");
        line("### Engine: sequences that decode at the same time, %d tokens each behind %d", tests.get(0).tokens(),
                tests.get(0).prompt());
        line("");
        line("| sequences | engine | tokens/s of all | against Reprise |");
        line("|---|---|---|---|");
        for (int n : tests.stream().map(SequencesTest::sequences).distinct().toList()) {
            List<SequencesTest> ofNumber = tests.stream().filter(test -> test.sequences() == n).toList();
            double reference = ofNumber.stream()
                    .filter(test -> test.engine().equals(Compare.REPRISE))
                    .mapToDouble(test -> new Samples(test.samples()).median())
                    .findFirst()
                    .orElse(0);
            for (SequencesTest test : ofNumber) {
                Samples samples = new Samples(test.samples());
                line("| %d | %s | %s | %s |", n, test.engine(), spread(samples), against(samples, reference));
            }
        }
    }

    private static String against(Samples samples, double reference) {
        return reference == 0 ? "" : String.format(Locale.ROOT, "%.2fx", samples.median() / reference);
    }

    // ---- applications ----------------------------------------------------------------------------------------------

    private void agreement(List<Agreement> agreement) {
        if (agreement.isEmpty()) {
            return;
        }
        line("");
        line("### Do the texts agree?");
        line("");
        for (Agreement each : agreement) {
            if (each.agrees()) {
                line("- prompt %d, %s: the same text, %d tokens", each.prompt() + 1, each.application(), each.tokens());
            } else {
                line("- prompt %d, %s: **differs from token %d of %d on**%s", each.prompt() + 1, each.application(),
                        each.firstDifference() + 1, each.tokens(), margin(each));
                line("  - Reprise: %s", quoted(each.repriseText()));
                line("  - %s: %s", each.application(), quoted(each.otherText()));
            }
        }
    }

    private static String margin(Agreement difference) {
        return difference.margin() == null ? "" : String.format(Locale.ROOT,
                "; Reprise's best logit is %.2f ahead of its second there", difference.margin());
    }

    private void applications(List<ApplicationRun> applications, List<Agreement> agreement) {
        if (applications.isEmpty()) {
            return;
        }
        line("");
        line("### Application: prompts in, text out, greedy");
        line("");
        long different = agreement.stream().filter(each -> !each.agrees()).count();
        if (different > 0) {
            line("**The texts differ in %d of %d cases (above), so the work behind these speeds is not the same.**",
                    different, agreement.size());
            line("");
        }
        line("| | transport | first token, ms | tokens/s as the caller sees them | whole request, tokens/s"
                + " | tokens/s by its own timing | prefill, tokens/s by its own timing | gap p50 / p95 / p99, ms"
                + " | load, s | host memory, MB | device memory, MB | Java outside native, us/token |");
        line("|---|---|---|---|---|---|---|---|---|---|---|---|");
        for (ApplicationRun run : applications) {
            List<Integer> gaps = gaps(run);
            line("| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |", run.name(), run.transport(),
                    spread(run, reply -> reply.firstToken() * 1e3),
                    spread(run, Reply::seenDecodePerSecond),
                    spread(run, reply -> reply.tokens() / reply.total()),
                    spread(run, Reply::decodePerSecond),
                    spread(run, Reply::prefillPerSecond),
                    gaps.isEmpty() ? "" : gap(gaps, 0.5) + " / " + gap(gaps, 0.95) + " / " + gap(gaps, 0.99),
                    String.format(Locale.ROOT, "%.2f", run.loadSeconds()),
                    megabytes(run.hostBytes()), megabytes(run.deviceBytes()),
                    outside(run));
        }
        line("");
        line("Load is from starting the program (JVM included) to ready; for Ollama the load time that it reports, its"
                + " server running. Host memory counts mapped model pages. Medians and extremes are over all prompts"
                + " and rounds.");
    }

    private void together(List<TogetherRun> runs) {
        if (runs.isEmpty()) {
            return;
        }
        line("");
        line("### Application: several requests at the same time");
        line("");
        line("| requests | application | transport | tokens/s of all, prompts included | gap p50 / p99, ms |");
        line("|---|---|---|---|---|");
        for (int n : runs.stream().map(TogetherRun::requests).distinct().toList()) {
            for (TogetherRun run : runs.stream().filter(each -> each.requests() == n).toList()) {
                line("| %d | %s | %s | %s | %.2f / %.2f |", n, run.name(), run.transport(),
                        spread(new Samples(run.samples())), run.gapP50Millis(), run.gapP99Millis());
            }
        }
    }

    static List<Integer> gaps(ApplicationRun run) {
        return run.requests().stream().flatMap(request -> request.reply().gapMicros().stream()).toList();
    }

    private static String gap(List<Integer> gapMicros, double p) {
        return String.format(Locale.ROOT, "%.2f", new Samples(gapMicros).quantile(p) * 1e-3);
    }

    private static String spread(ApplicationRun run, ToDoubleFunction<Reply> value) {
        List<Double> values = new ArrayList<>();
        run.requests().forEach(request -> values.add(value.applyAsDouble(request.reply())));
        return values.isEmpty() ? "" : spread(new Samples(values));
    }

    private static String outside(ApplicationRun run) {
        List<Double> values = run.requests().stream()
                .map(request -> request.reply().outsideNativeMicros())
                .filter(value -> value != null)
                .toList();
        return values.isEmpty() ? "" : String.format(Locale.ROOT, "%.2f", new Samples(values).median());
    }

    private static String megabytes(long bytes) {
        return bytes == 0 ? "" : number(bytes * 1e-6);
    }

    // ---- words -----------------------------------------------------------------------------------------------------

    private static String spread(Samples samples) {
        return number(samples.median()) + " (" + number(samples.lowest()) + " - " + number(samples.highest()) + ")";
    }

    private static String number(double value) {
        return String.format(Locale.ROOT, value < 100 ? "%.1f" : "%.0f", value);
    }

    private static String quoted(String text) {
        String oneLine = text.replace("\\", "\\\\").replace("\n", "\\n").replace("`", "'");
        return "`" + oneLine + "`";
    }

    private void line(String format, Object... arguments) {
        out.append(String.format(Locale.ROOT, format, arguments)).append('\n');
    }
}
