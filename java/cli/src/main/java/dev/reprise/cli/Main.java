package dev.reprise.cli;

import dev.reprise.Backend;
import dev.reprise.LibraryUnavailableException;
import dev.reprise.TemplateException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.PrintWriter;
import java.time.LocalDate;
import java.time.format.DateTimeParseException;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParseResult;
import picocli.CommandLine.Spec;
import picocli.CommandLine.TypeConversionException;

/** The command line. */
@Command(
        name = "reprise",
        description = {"Runs GGUF language models on NVIDIA GPUs and CPUs.", ""},
        subcommands = {
            RunCommand.class,
            ChatCommand.class,
            ServeCommand.class,
            RenderCommand.class,
            InfoCommand.class,
            TokenizeCommand.class,
            DetokenizeCommand.class,
            PullCommand.class
        },
        versionProvider = Main.Version.class,
        synopsisSubcommandLabel = "COMMAND",
        commandListHeading = "%nCommands:%n",
        footerHeading = "%nExamples:%n",
        footer = {
            "  reprise run                            tells a story with the model that comes along",
            "  reprise run model.gguf -p 'Dear diary,' -n 200",
            "  reprise run model.gguf -p '2+2=' --temp 0 -n 4",
            "  reprise chat model.gguf                 talks with a chat model; /help tells more",
            "  reprise chat model.gguf -p 'Name a colour.' --json-schema colour.json",
            "  reprise serve model.gguf --port 8080    answers OpenAI's and Anthropic's clients",
            "  reprise render model.gguf --input conversation.json",
            "  reprise info model.gguf",
            "  reprise tokenize model.gguf -p 'Hello' --ids | reprise detokenize model.gguf",
            "  reprise pull Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M",
            "  reprise chat Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M"
        },
        exitCodeListHeading = "%nExit codes:%n",
        exitCodeList = {
            ExitCode.Help.OK,
            ExitCode.Help.FAILED,
            ExitCode.Help.USAGE,
            ExitCode.Help.IO,
            ExitCode.Help.MODEL_FORMAT,
            ExitCode.Help.UNSUPPORTED,
            ExitCode.Help.DEVICE_UNAVAILABLE,
            ExitCode.Help.OUT_OF_MEMORY,
            ExitCode.Help.CONTEXT_OVERFLOW,
            ExitCode.Help.TEMPLATE,
            ExitCode.Help.CUT,
            ExitCode.Help.INTERRUPTED,
            ExitCode.Help.OUTPUT_CLOSED
        })
public final class Main implements Runnable {
    @Option(
            names = {"-h", "--help"},
            usageHelp = true,
            scope = CommandLine.ScopeType.INHERIT,
            description = "Show this help and exit.")
    private boolean help;

    @Option(
            names = {"-V", "--version"},
            versionHelp = true,
            description = "Show version, native library and devices and exit.")
    private boolean version;

    @Spec
    private CommandSpec spec;

    private Main() {}

    /** Runs the program and ends the process with its exit code. */
    public static void main(String[] args) {
        int code = run(args, Terminal.ofProcess());
        Interruption.commandEnded();
        System.exit(code);
    }

    /** Runs a command and returns its exit code. */
    static int run(String[] args, InputStream in, OutputStream out, OutputStream err) {
        return run(args, new Terminal(in, out, err));
    }

    private static int run(String[] args, Terminal terminal) {
        CommandLine commandLine = new CommandLine(new Main(), new CommandFactory(terminal));
        commandLine.setUsageHelpWidth(100);
        commandLine.setOut(terminal.helpWriter());
        commandLine.setErr(new PrintWriter(terminal.err(), true));
        commandLine.setCaseInsensitiveEnumValuesAllowed(true);
        // Prompts and stop strings are taken as they are, also those that look like an option; but for --, which ends
        // the options.
        commandLine.setExpandAtFiles(false);
        commandLine.setAllowOptionsAsOptionParameters(true);
        commandLine.registerConverter(LocalDate.class, Main::day);
        commandLine.registerConverter(ModelArgument.class, ModelArgument::of);
        commandLine.setExecutionExceptionHandler(Main::report);
        try {
            return commandLine.execute(args);
        } catch (OutOfMemoryError e) {
            terminal.err().println("reprise: " + e.getMessage());
            return ExitCode.of(e);
        }
    }

    @Override
    public void run() {
        throw new ParameterException(spec.commandLine(),
                "a command is missing: run, chat, serve, render, info, tokenize, detokenize or pull");
    }

    private static LocalDate day(String text) {
        try {
            return LocalDate.parse(text);
        } catch (DateTimeParseException e) {
            throw new TypeConversionException("'" + text + "' is no day of the form YYYY-MM-DD");
        }
    }

    private static int report(Exception failure, CommandLine commandLine, ParseResult parsed) {
        int code = ExitCode.of(failure);
        if (code == ExitCode.INTERRUPTED) {
            commandLine.getErr().println("reprise: interrupted");
        } else if (code == ExitCode.FAILED) {
            failure.printStackTrace(commandLine.getErr());
        } else if (code != ExitCode.OUTPUT_CLOSED) {
            commandLine.getErr().println("reprise: " + message(failure));
        }
        return code;
    }

    /** What went wrong, and where. */
    static String message(Exception failure) {
        return failure instanceof TemplateException e && e.line().isPresent()
                ? "line " + e.line().getAsInt() + " of the chat template: " + e.getMessage()
                : failure.getMessage();
    }

    /** For {@code --version}: the program's version, the library's and what the library can use. */
    static final class Version implements CommandLine.IVersionProvider {
        @Override
        public String[] getVersion() {
            String version = Main.class.getPackage().getImplementationVersion();
            String program = "reprise " + (version == null ? "(development)" : version);
            try {
                return (program + "\n" + Backend.describe()).split("\n");
            } catch (LibraryUnavailableException e) {
                return new String[] {program, e.getMessage()};
            }
        }
    }
}
