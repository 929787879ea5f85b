package dev.reprise.bench.compare;

import dev.reprise.bench.compare.Results.ApplicationRun;
import dev.reprise.bench.compare.Results.EngineTest;
import dev.reprise.bench.compare.Results.ModelRun;
import dev.reprise.bench.compare.Results.SequencesTest;
import java.awt.BasicStroke;
import java.awt.Color;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.BitmapEncoder.BitmapFormat;
import org.knowm.xchart.CategoryChart;
import org.knowm.xchart.CategoryChartBuilder;
import org.knowm.xchart.ChartEncoder;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.internal.chartpart.Chart;
import org.knowm.xchart.style.AxesChartStyler;
import org.knowm.xchart.style.AxesChartStyler.TextAlignment;
import org.knowm.xchart.style.Styler.LegendLayout;
import org.knowm.xchart.style.Styler.LegendPosition;
import org.knowm.xchart.style.markers.SeriesMarkers;

/** The comparison in pictures, each as SVG and PNG. */
final class Plots {
    private static final int WIDTH = 900;
    private static final int HEIGHT = 520;
    private static final int PNG_DPI = 144;
    /** Distinct for readers who confuse red and green (Okabe and Ito). */
    private static final Color[] COLORS = {
        new Color(0x0072B2), new Color(0xE69F00), new Color(0xCC79A7), new Color(0x009E73), new Color(0x56B4E9)
    };

    private static final Color FLOOR_COLOR = new Color(0xD0D0D0);

    private Plots() {}

    static void write(Path folder, Results.Run run) throws IOException {
        for (int m = 0; m < run.models().size(); m++) {
            ModelRun model = run.models().get(m);
            String suffix = run.models().size() == 1 ? "" : "-" + (m + 1);
            if (!model.engine().isEmpty()) {
                save(folder, "decode" + suffix, decode(model));
            }
            if (!model.sequences().isEmpty()) {
                save(folder, "sequences" + suffix, sequences(model));
            }
            if (model.engine().stream().anyMatch(test -> test.depth() > 0)) {
                save(folder, "depth" + suffix, depth(model));
            }
            if (model.applications().stream().anyMatch(each -> !Tables.gaps(each).isEmpty())) {
                save(folder, "latency" + suffix, latency(model));
            }
        }
    }

    /** Bars of decode speed by engine, and one of what reading the weights alone would allow. */
    private static CategoryChart decode(ModelRun model) {
        CategoryChart chart = new CategoryChartBuilder().width(WIDTH).height(HEIGHT)
                .title("Decode, empty context, batch 1").xAxisTitle("model").yAxisTitle("tokens per second").build();
        style(chart.getStyler());
        chart.getStyler().setAvailableSpaceFill(0.7);
        chart.getStyler().setLabelsVisible(true);
        chart.getStyler().setLabelsPosition(1.04);
        List<String> name = List.of(shortName(model.file()));
        for (String engine : engines(model)) {
            chart.addSeries(engine, name, List.of(decodeSpeed(model, engine)));
        }
        if (model.floor() > 0) {
            chart.addSeries("memory floor: read bandwidth / bytes of weights", name, List.of(model.floor()))
                    .setFillColor(FLOOR_COLOR);
        }
        return chart;
    }

    private static List<String> engines(ModelRun model) {
        return model.engine().stream().map(EngineTest::engine).distinct().toList();
    }

    /** Decode speed of all sequences together over their number. */
    private static XYChart sequences(ModelRun model) {
        XYChart chart = new XYChartBuilder().width(WIDTH).height(HEIGHT)
                .title("Sequences at the same time, " + shortName(model.file())).xAxisTitle("sequences")
                .yAxisTitle("tokens per second of all").build();
        style(chart.getStyler());
        chart.getStyler().setXAxisMin(0.0);
        for (String engine : model.sequences().stream().map(SequencesTest::engine).distinct().toList()) {
            List<SequencesTest> tests =
                    model.sequences().stream().filter(test -> test.engine().equals(engine)).toList();
            var series = chart.addSeries(engine, tests.stream().map(SequencesTest::sequences).toList(),
                    tests.stream().map(test -> new Samples(test.samples()).median()).toList());
            series.setMarker(SeriesMarkers.CIRCLE);
        }
        return chart;
    }

    private static double decodeSpeed(ModelRun model, String engine) {
        return model.engine().stream()
                .filter(test -> test.decode() && test.depth() == 0 && test.engine().equals(engine))
                .mapToDouble(test -> new Samples(test.samples()).median())
                .findFirst()
                .orElse(0);
    }

    /** Decode speed over the number of tokens in the context. */
    private static XYChart depth(ModelRun model) {
        XYChart chart = new XYChartBuilder().width(WIDTH).height(HEIGHT)
                .title("Decode over depth, " + shortName(model.file())).xAxisTitle("tokens in the context")
                .yAxisTitle("tokens per second").build();
        style(chart.getStyler());
        chart.getStyler().setXAxisMin(0.0);
        for (String engine : engines(model)) {
            List<EngineTest> tests = model.engine().stream()
                    .filter(test -> test.decode() && test.engine().equals(engine))
                    .toList();
            var series = chart.addSeries(engine, tests.stream().map(EngineTest::depth).toList(),
                    tests.stream().map(test -> new Samples(test.samples()).median()).toList());
            series.setMarker(SeriesMarkers.CIRCLE);
        }
        return chart;
    }

    /** Quantiles of the time between two pieces of text. */
    private static CategoryChart latency(ModelRun model) {
        CategoryChart chart = new CategoryChartBuilder().width(WIDTH).height(HEIGHT)
                .title("Time between tokens, " + shortName(model.file())).xAxisTitle("quantile")
                .yAxisTitle("milliseconds").build();
        style(chart.getStyler());
        chart.getStyler().setYAxisDecimalPattern("#,##0.00");
        chart.getStyler().setAvailableSpaceFill(0.7);
        chart.getStyler().setLabelsVisible(true);
        chart.getStyler().setLabelsPosition(1.04);
        for (ApplicationRun run : model.applications()) {
            List<Integer> gaps = Tables.gaps(run);
            if (!gaps.isEmpty()) {
                Samples samples = new Samples(gaps);
                chart.addSeries(run.name() + " (" + run.transport() + ")", List.of("p50", "p95", "p99"),
                        Stream.of(0.5, 0.95, 0.99).map(p -> samples.quantile(p) * 1e-3).toList());
            }
        }
        return chart;
    }

    private static void style(AxesChartStyler styler) {
        styler.setSeriesColors(COLORS);
        styler.setChartBackgroundColor(Color.WHITE);
        styler.setPlotBorderVisible(false);
        styler.setPlotGridLinesStroke(new BasicStroke(0.5f));
        styler.setLegendPosition(LegendPosition.OutsideS);
        styler.setLegendLayout(LegendLayout.Horizontal);
        styler.setLegendBorderColor(Color.WHITE);
        styler.setYAxisMin(0.0);
        styler.setYAxisDecimalPattern("#,##0");
        styler.setXAxisDecimalPattern("0");
        styler.setYAxisLabelAlignment(TextAlignment.Right);
    }

    private static String shortName(String file) {
        return file.replaceFirst("\\.gguf$", "");
    }

    private static void save(Path folder, String name, Chart<?, ?> chart) throws IOException {
        String file = folder.resolve(name).toString();
        ChartEncoder.saveChart(chart, file, "svg");
        BitmapEncoder.saveBitmapWithDPI(chart, file + ".png", BitmapFormat.PNG, PNG_DPI);
    }
}
