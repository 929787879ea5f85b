package dev.reprise.cli;

import picocli.CommandLine;

/** Gives the commands the terminal they work with. */
final class CommandFactory implements CommandLine.IFactory {
    private final Terminal terminal;

    CommandFactory(Terminal terminal) {
        this.terminal = terminal;
    }

    @Override
    public <K> K create(Class<K> type) throws Exception {
        if (type == RunCommand.class) {
            return type.cast(new RunCommand(terminal));
        } else if (type == ChatCommand.class) {
            return type.cast(new ChatCommand(terminal));
        } else if (type == RenderCommand.class) {
            return type.cast(new RenderCommand(terminal));
        } else if (type == InfoCommand.class) {
            return type.cast(new InfoCommand(terminal));
        } else if (type == TokenizeCommand.class) {
            return type.cast(new TokenizeCommand(terminal));
        } else if (type == DetokenizeCommand.class) {
            return type.cast(new DetokenizeCommand(terminal));
        } else if (type == PullCommand.class) {
            return type.cast(new PullCommand(terminal));
        } else if (type == ServeCommand.class) {
            return type.cast(new ServeCommand(terminal));
        }
        return CommandLine.defaultFactory().create(type);
    }
}
