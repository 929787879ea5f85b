package dev.reprise.cli;

import dev.reprise.ModelOptions;
import dev.reprise.server.Server;
import dev.reprise.server.ServerOptions;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code reprise serve}. */
@Command(
        name = "serve",
        description = {
            "Serves models over HTTP to clients of OpenAI's and Anthropic's protocols, and a page to chat with at /.",
            "Requests call a model by the name of its file without .gguf, or by its name on Hugging Face; without a "
                    + "name they get the first. Ctrl-C or SIGTERM lets requests that are there end first.",
            ""
        },
        sortOptions = false)
final class ServeCommand implements Callable<Integer> {
    private final Terminal terminal;

    @Parameters(
            arity = "0..*",
            paramLabel = "MODEL",
            description = ModelArgument.DESCRIPTION + " Several share the port: each is loaded where it is asked for "
                    + "first. Without one, the bundled model is served.")
    private List<ModelArgument> arguments = List.of();

    @Option(
            names = "--host",
            paramLabel = "ADDRESS",
            description = "The address to listen on; 0.0.0.0 is all (default: 127.0.0.1, this machine alone).")
    private String host = "127.0.0.1";

    @Option(names = "--port", paramLabel = "N", description = "The port; 0 is any that is free (default: 8080).")
    private int port = 8080;

    @Option(
            names = "--parallel",
            paramLabel = "N",
            description = "How many requests generate at once (default: 4).")
    private int parallel = 4;

    @Option(
            names = "--queue",
            paramLabel = "N",
            description = "How many may wait for that; others are told to come back (default: 128).")
    private int queue = 128;

    @Option(
            names = "--api-key",
            paramLabel = "KEY",
            arity = "1",
            description = "A key that requests have to carry; may be repeated. Other users of the machine see it in "
                    + "the list of processes: a file is safer.")
    private List<String> apiKeys = List.of();

    @Option(names = "--api-key-file", paramLabel = "FILE", description = "A file of such keys, one a line.")
    private Path apiKeyFile;

    @Option(
            names = "--allow-origin",
            paramLabel = "ORIGIN",
            arity = "1",
            description = "A web page's origin whose scripts may ask, such as https://example.org; may be repeated; "
                    + "* is all (default: none but the server's own page).")
    private List<String> origins = List.of();

    @Option(
            names = "--max-tokens",
            paramLabel = "N",
            description = "The most tokens of an answer, whatever a request asks for (default: the context).")
    private int maxTokens = Integer.MAX_VALUE;

    @Option(
            names = "--max-seconds",
            paramLabel = "N",
            description = "The longest that a request may wait and generate (default: 600).")
    private long maxSeconds = 600;

    @Option(
            names = "--max-body",
            paramLabel = "BYTES",
            description = "The largest body of a request (default: 16777216).")
    private int maxBody = 16 << 20;

    @Option(
            names = "--max-models",
            paramLabel = "N",
            description = "How many models are loaded at once; the least recently used makes room (default: as many as "
                    + "there is memory for).")
    private int maxModels = Integer.MAX_VALUE;

    @Option(
            names = "--grace",
            paramLabel = "SECONDS",
            description = "How long requests may go on when the server is asked to end (default: 30).")
    private long grace = 30;

    @Mixin
    private LoadOptions loadOptions;

    ServeCommand(Terminal terminal) {
        this.terminal = terminal;
    }

    @Override
    public Integer call() throws InterruptedException {
        ServerOptions options = options();
        CountDownLatch closed = new CountDownLatch(1);
        Server server = Server.start(options);
        Interruption interruption = Interruption.cancels(() -> {
            server.close();
            closed.countDown();
        });
        try {
            if (options.modelNames().size() == 1) {
                server.loadFirst();
            }
            terminal.err().println("listening on " + server.url());
            closed.await();
            return ExitCode.OK;
        } finally {
            interruption.forget();
            server.close();
        }
    }

    private ServerOptions options() {
        ServerOptions.Builder builder = ServerOptions.builder()
                .host(host)
                .port(port)
                .parallel(parallel)
                .queue(queue)
                .session(loadOptions.session())
                .maxTokens(maxTokens)
                .requestTime(Duration.ofSeconds(maxSeconds))
                .maxBodyBytes(maxBody)
                .maxLoaded(maxModels)
                .grace(Duration.ofSeconds(grace));
        apiKeys.forEach(builder::apiKey);
        origins.forEach(builder::allowOrigin);
        if (apiKeyFile != null) {
            terminal.readFile(apiKeyFile).lines().filter(line -> !line.isBlank()).forEach(builder::apiKey);
        }
        if (arguments.isEmpty()) {
            terminal.err().println("No model given: this is the bundled story model, " + StoryModel.NAME + ".");
            ModelOptions model = loadOptions.model().build();
            builder.model(StoryModel.NAME.replace(".gguf", ""), () -> StoryModel.load(model));
        }
        for (ModelArgument argument : arguments) {
            Path file = argument.file(terminal);  // what is not there shows at once
            builder.model(argument.name(), () -> ModelLoader.load(file, loadOptions.model(), terminal));
        }
        return builder.build();
    }
}
