package dev.reprise;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;

/**
 * A conversation with a model: the messages so far and a session that holds what of them is evaluated.
 *
 * <pre>{@code
 * try (Model model = Model.load(Path.of("model.gguf")); Chat chat = model.newChat()) {
 *     chat.send("Why is the sky blue?").forEach(System.out::print);
 * }
 * }</pre>
 *
 * <p>Every turn renders the whole conversation with the model's template, or with the one that the options hand in, and
 * evaluates only what the session does not hold yet: where a template rewrites earlier turns (some drop what the model
 * thought) or the system message is another one, what follows the first difference. Text of messages is never taken for
 * a control token.
 *
 * <p>A conversation that does not fit into the context is a {@link ContextOverflowException}, and stays as it was;
 * {@link ContextPolicy#DROP_OLDEST} has the model see its last turns and the system message instead. Whatever a turn
 * throws, the conversation is as before it, or has the answer as far as it was taken.
 *
 * <p>A chat belongs to one caller at a time; {@link #cancel} and {@link #close} are legal from any thread.
 */
public final class Chat implements AutoCloseable {
    private final Model model;
    private final Session session;
    private final ChatOptions options;
    private final List<Message> messages;
    private ChatStream current;
    private int dropped;

    Chat(Model model, ChatOptions options) {
        this(model, options, model.newSession(options.session()), initial(options));
    }

    private Chat(Model model, ChatOptions options, Session session, List<Message> messages) {
        this.model = model;
        this.options = options;
        this.session = session;
        this.messages = new ArrayList<>(messages);
    }

    private static List<Message> initial(ChatOptions options) {
        return options.system().map(Message::system).map(List::of).orElse(List.of());
    }

    // ---- turns -----------------------------------------------------------------------------------------------------

    /** Says something as the user; the answer is generated as it is taken. */
    public ChatStream send(String text) {
        return send(Message.user(text));
    }

    /** Adds messages, a user's or tools' answers, and generates the model's. */
    public ChatStream send(Message... messages) {
        return send(List.of(messages), options);
    }

    /**
     * Adds messages and generates the model's answer with other options than the chat's, those of the session excepted.
     * An answer that is in progress is ended first, and stays as far as it was taken.
     *
     * @throws ContextOverflowException if the conversation does not fit and {@link ContextPolicy#FAIL} is chosen; the
     *     messages are then as before
     * @throws TemplateException if the model has no template, or the template fails
     * @throws IllegalArgumentException if a constraint is malformed, or needs what cannot be enforced
     * @throws CancelledException if it is cancelled or interrupted before the first token; the messages are as before
     * @throws IllegalStateException if the chat is closed or another thread is inside
     */
    public ChatStream send(List<Message> messages, ChatOptions options) {
        Objects.requireNonNull(options, "options");
        session.enter();
        try {
            endCurrent();
            int before = this.messages.size();
            int droppedBefore = dropped;
            this.messages.addAll(messages);
            boolean started = false;
            try {
                ChatStream stream = new ChatStream(this, options);
                stream.start();
                current = stream;
                started = true;
                return stream;
            } finally {
                if (!started) {
                    this.messages.subList(before, this.messages.size()).clear();
                    dropped = droppedBefore;
                }
            }
        } finally {
            session.leave();
        }
    }

    /** {@link #send(String)}, waiting for the whole answer. */
    public ChatAnswer ask(String text) {
        return ask(List.of(Message.user(text)), options);
    }

    /** {@link #send(List, ChatOptions)}, waiting for the whole answer. */
    public ChatAnswer ask(List<Message> messages, ChatOptions options) {
        try (ChatStream stream = send(messages, options)) {
            while (stream.take() != null) {
                // The stream keeps what comes.
            }
            return stream.answer();
        }
    }

    /** {@link #run(List, ChatOptions)} of what a user says, with the chat's options. */
    public ChatAnswer run(String text) {
        return run(List.of(Message.user(text)), options);
    }

    /**
     * {@link #ask(List, ChatOptions)}, and as long as the answer calls tools that run ({@link Tool#runs}), runs them
     * and hands their results to the model: the answer is the first without a call. After {@link
     * ChatOptions#maxToolRounds} rounds the model has to answer without tools. A choice that forces a call holds for
     * the first round alone. An answer that calls a tool which only the caller can run, or was cancelled, is returned
     * as it is.
     */
    public ChatAnswer run(List<Message> messages, ChatOptions options) {
        return new ToolLoop(this, options).run(messages);
    }

    /** The prompt of the conversation, without the oldest turns if it does not fit and the policy says so. */
    PromptTokens fit(CompiledTemplate template, ChatOptions options) {
        while (true) {
            PromptTokens prompt = template.prompt(visible(), options);
            // What the session keeps may be cut into more tokens than the same text is when it is read.
            PromptTokens.Continuation continuation = prompt.behind(session.history());
            int tokens = continuation.kept() + continuation.newIds().length;
            int room = session.contextLength() - tokens;
            if (options.contextPolicy() == ContextPolicy.FAIL ? room >= 0 : room >= reserve(options)) {
                return prompt;
            }
            if (options.contextPolicy() == ContextPolicy.FAIL) {
                throw new ContextOverflowException("the conversation has " + tokens + " tokens and the context "
                        + session.contextLength() + ": open the chat with a longer context, reset it, or choose the "
                        + "context policy DROP_OLDEST");
            } else if (!dropOldestTurn()) {
                throw new ContextOverflowException("the last turn alone has " + tokens + " tokens, and with "
                        + reserve(options) + " for the answer it does not fit into the context of "
                        + session.contextLength() + ": open the chat with a longer context");
            }
        }
    }

    /** Tokens that have to be left for an answer. */
    private int reserve(ChatOptions options) {
        int quarter = session.contextLength() / 4;
        return Math.min(options.generation().maxTokens().orElse(quarter), quarter);
    }

    private List<Message> visible() {
        if (dropped == 0) {
            return messages;
        }
        List<Message> visible = new ArrayList<>();
        for (int i = 0; i < messages.size(); i++) {
            if (i >= dropped || messages.get(i).role() == Role.SYSTEM) {
                visible.add(messages.get(i));
            }
        }
        return visible;
    }

    /** Up to the next message of a user; false if that would leave nothing to answer. */
    private boolean dropOldestTurn() {
        int next = dropped;
        while (next < messages.size() && messages.get(next).role() == Role.SYSTEM) {
            next++;
        }
        do {
            next++;
        } while (next < messages.size() && messages.get(next).role() != Role.USER);
        if (next >= messages.size()) {
            return false;
        }
        dropped = next;
        return true;
    }

    /** The number of the next tool call, which ids are made of where a format has none. */
    int nextCall() {
        return 1 + messages.stream().mapToInt(message -> message.toolCalls().size()).sum();
    }

    private void endCurrent() {
        if (current != null) {
            current.abandoned();
        }
    }

    /** Called by a stream at its end. */
    void finished(ChatStream stream, Message answer) {
        if (current == stream) {
            current = null;
            messages.add(answer);
        }
    }

    // ---- history ---------------------------------------------------------------------------------------------------

    /** The conversation so far. An answer in progress is not in it. */
    public List<Message> messages() {
        session.enter();
        try {
            return List.copyOf(messages);
        } finally {
            session.leave();
        }
    }

    /** How many of {@link #messages} the model no longer sees: {@link ContextPolicy#DROP_OLDEST}. */
    public int droppedMessages() {
        return dropped;
    }

    /**
     * Forgets all messages from an index on; the turns before are not evaluated again.
     *
     * @throws IndexOutOfBoundsException if there are fewer messages
     */
    public void rewind(int size) {
        session.enter();
        try {
            endCurrent();
            Objects.checkFromToIndex(size, messages.size(), messages.size());
            messages.subList(size, messages.size()).clear();
            dropped = Math.min(dropped, size);
        } finally {
            session.leave();
        }
    }

    /** Begins anew, with the system message of the options if they have one. */
    public void reset() {
        session.enter();
        try {
            endCurrent();
            messages.clear();
            messages.addAll(initial(options));
            dropped = 0;
        } finally {
            session.leave();
        }
    }

    /**
     * Gives the conversation another system message, or none with null. Turns stay; what the template writes behind the
     * system message is evaluated again with the next one.
     */
    public void system(String text) {
        session.enter();
        try {
            endCurrent();
            boolean had = !messages.isEmpty() && messages.get(0).role() == Role.SYSTEM;
            if (had) {
                messages.remove(0);
            }
            if (text != null) {
                messages.add(0, Message.system(text));
            }
            if (dropped > 0) {
                dropped += (text == null ? 0 : 1) - (had ? 1 : 0);
            }
        } finally {
            session.leave();
        }
    }

    /**
     * A second chat that goes on from here on its own; what is evaluated is not evaluated again. An answer in progress
     * is ended first.
     */
    public Chat fork() {
        session.enter();
        try {
            endCurrent();
            Chat fork = new Chat(model, options, session.fork(), messages);
            fork.dropped = dropped;
            return fork;
        } finally {
            session.leave();
        }
    }

    /**
     * Writes the conversation to a file, with what is evaluated of it, so that it goes on elsewhere without evaluating
     * anything again: {@link Model#restoreChat(Path, ChatOptions)}. An answer in progress is ended first. What is at
     * the path is replaced when the file is complete; nobody but its owner may read it.
     *
     * @throws java.io.UncheckedIOException if it cannot be written
     */
    public void save(Path path) {
        session.enter();
        try {
            endCurrent();
            ChatFile.save(path, session, messages, dropped);
        } finally {
            session.leave();
        }
    }

    static Chat restore(Model model, Path path, ChatOptions options) {
        ChatFile.Restored restored = ChatFile.restore(path, model, options.session());
        Chat chat = new Chat(model, options, restored.session(), restored.content().messages());
        chat.dropped = restored.content().dropped();
        return chat;
    }

    // ---- what it stands on -----------------------------------------------------------------------------------------

    public ChatOptions options() {
        return options;
    }

    public Model model() {
        return model;
    }

    /** The session that holds what is evaluated. */
    Session session() {
        return session;
    }

    /** Counts since the chat was opened: prompt tokens evaluated, tokens generated and the rest. */
    public SessionStatistics statistics() {
        return session.statistics();
    }

    /** How many tokens of the conversation the session holds. */
    public int position() {
        return session.position();
    }

    /** Tokens that the session can hold. */
    public int contextLength() {
        return session.contextLength();
    }

    /** The token ids that the session holds. */
    public int[] history() {
        return session.history();
    }

    /** Stops the answer in progress, from any thread: it ends with {@link FinishReason#CANCELLED}. */
    public void cancel() {
        session.cancel();
    }

    /** Ends what is in progress and frees the session. Closing twice has no effect. */
    @Override
    public void close() {
        session.close();
    }
}
