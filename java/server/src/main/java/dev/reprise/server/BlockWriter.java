package dev.reprise.server;

import dev.reprise.ChatAnswer;
import dev.reprise.ChatPart;
import dev.reprise.Token;
import java.util.ArrayList;
import java.util.List;

/** An answer as blocks of text, reasoning and calls that follow each other, as newer protocols show it. */
abstract class BlockWriter implements AnswerWriter {
    /** What a block is of. */
    enum Kind {
        TEXT,
        REASONING,
        CALL
    }

    /** A block, which grows until the next one begins. */
    static final class Block {
        final Kind kind;
        final int index;
        final String id;
        /** Of a call: the tool's. */
        final String name;
        /** Of a call: what its result refers to. */
        final String callId = Ids.call();
        final StringBuilder text = new StringBuilder();

        Block(Kind kind, int index, String id, String name) {
            this.kind = kind;
            this.index = index;
            this.id = id;
            this.name = name;
        }
    }

    final Exchange exchange;
    final boolean streams;
    final List<Block> blocks = new ArrayList<>();
    ChatAnswer answer;
    private Block open;

    BlockWriter(Exchange exchange, boolean streams) {
        this.exchange = exchange;
        this.streams = streams;
    }

    /** The stream begins. */
    abstract void started(Usage usage) throws InterruptedException;

    /** A name for a block. */
    abstract String idOf(Kind kind);

    abstract void opened(Block block) throws InterruptedException;

    abstract void grown(Block block, String piece) throws InterruptedException;

    abstract void closed(Block block) throws InterruptedException;

    /** The stream ends. */
    abstract void ended(Usage usage) throws InterruptedException;

    /** The answer as a whole. */
    abstract Object document(Usage usage);

    @Override
    public void begin(int choice, Usage usage) throws InterruptedException {
        if (streams) {
            exchange.beginEvents();
            started(usage);
        }
    }

    @Override
    public void part(int choice, ChatPart part, List<Token> tokens) throws InterruptedException {
        switch (part.kind()) {
            case TEXT -> grow(Kind.TEXT, part.text());
            case REASONING -> grow(Kind.REASONING, part.text());
            case TOOL_CALL_START -> open(Kind.CALL, part.text());
            case TOOL_CALL_ARGUMENTS -> grow(Kind.CALL, part.text());
            case TOOL_CALL -> close();
            default -> throw new AssertionError(part.kind());
        }
    }

    private void open(Kind kind, String name) throws InterruptedException {
        close();
        open = new Block(kind, blocks.size(), idOf(kind), name);
        blocks.add(open);
        if (streams) {
            opened(open);
        }
    }

    private void grow(Kind kind, String piece) throws InterruptedException {
        if (open == null || open.kind != kind) {
            open(kind, null);
        }
        open.text.append(piece);
        if (streams) {
            grown(open, piece);
        }
    }

    private void close() throws InterruptedException {
        Block block = open;
        open = null;
        if (block != null && streams) {
            closed(block);
        }
    }

    @Override
    public void end(int choice, ChatAnswer whole) throws InterruptedException {
        if (blocks.isEmpty()) {
            open(Kind.TEXT, null);
        }
        close();
        answer = whole;
    }

    @Override
    public void finish(Usage usage) throws InterruptedException {
        if (streams) {
            ended(usage);
            exchange.endEvents();
        } else {
            exchange.json(200, document(usage));
        }
    }
}
