package dev.reprise;

import dev.reprise.chat.AnswerFormat;
import dev.reprise.chat.AnswerParser;
import dev.reprise.chat.AnswerPart;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.Consumer;
import java.util.stream.Stream;

/**
 * An answer as it is generated, in pieces of text, reasoning and tool calls. To be used once, by one of
 * {@link #forEach}, {@link #iterator} and {@link #stream}, in one thread at a time.
 *
 * <p>Leaving it early is fine: the chat's next call ends it, and the conversation then has the answer as far as it was
 * taken. {@link #close} ends it at once.
 */
public final class ChatStream implements Iterable<ChatPart>, AutoCloseable {
    /** What the generation in progress may draw. */
    private enum Phase {
        /** Anything, and nothing will limit it. */
        FREE,
        /** Anything, until the reasoning has ended, or has turned out not to be there. */
        REASONING,
        /** What the grammar allows. */
        LIMITED
    }

    private final OnePass<ChatPart> pass =
            new OnePass<>(this::take, "the pieces of an answer can be gone through once; answer() keeps them",
                    "the answer has ended");
    private final Chat chat;
    private final Session session;
    private final ChatOptions options;
    private final long seed;
    private final Queue<ChatPart> ready = new ArrayDeque<>();
    private final List<Token> tokens = new ArrayList<>();
    private final StringBuilder text = new StringBuilder();
    private final StringBuilder reasoning = new StringBuilder();
    private final List<ToolCall> calls = new ArrayList<>();
    private final StopMatcher stopMatcher;

    private final Tokenizer tokenizer;
    private final int firstCall;

    private CompiledTemplate template;
    private Constraint limit;
    private AnswerParser parser;
    private StreamDecoder decoder;
    private TokenStream generation;
    private Phase phase;
    /** All that the model wrote, the text of control tokens included. */
    private final StringBuilder written = new StringBuilder();
    private int reasoningTokens;
    private int answerStart;
    private int promptTokens;
    private int evaluatedTokens;
    private boolean abandoned;
    private boolean constraintMet = true;
    private volatile boolean cancelled;
    private volatile ChatAnswer answer;

    ChatStream(Chat chat, ChatOptions options) {
        this.chat = chat;
        this.options = options;
        session = chat.session();
        tokenizer = chat.model().tokenizer();
        firstCall = chat.nextCall();
        seed = options.generation().sampling().seed().orElseGet(() -> ThreadLocalRandom.current().nextLong());
        List<String> stop = options.generation().stop();
        stopMatcher = stop.isEmpty() ? null : new StopMatcher(stop);
    }

    /** Evaluates the prompt and begins. */
    void start() {
        template = chat.model().compiledTemplate(options);
        AnswerFormat format = template.format();
        limit = limitOf(format);
        if (limit != null) {
            chat.model().compile(limit);  // whatever is wrong with it shows before anything runs
        }
        PromptTokens prompt = chat.fit(template, options);
        parser = format.parser(prompt.generationPrompt(), toolsOnOffer(), firstCall);
        decoder = tokenizer.newStreamDecoder(true);
        boolean mayReason = parser.inReasoning()
                || format.supportsReasoning() && options.reasoning() != ReasoningMode.OFF;
        phase = limit == null ? Phase.FREE : mayReason ? Phase.REASONING : Phase.LIMITED;
        int[] ids = session.continuation(prompt);
        evaluatedTokens = ids.length;
        promptTokens = session.position() + ids.length;
        answerStart = promptTokens;
        generate(ids);
        if (parser.inReasoning() && budgetIsSpent()) {
            endReasoning();
        }
    }

    private List<Tool> toolsOnOffer() {
        return noCalls() ? List.of() : options.tools();
    }

    private boolean noCalls() {
        return options.toolChoice().equals(ToolChoice.none());
    }

    /** The grammar of the answer, behind the reasoning; null if there is none. */
    private Constraint limitOf(AnswerFormat format) {
        Constraint asked = options.generation().constraint().orElse(null);
        ToolChoice choice = options.toolChoice();
        List<Tool> tools = toolsOnOffer();
        if (choice.forcesCall()) {
            if (tools.isEmpty()) {
                throw new IllegalArgumentException("a tool call is required and there are no tools");
            }
            if (asked != null) {
                throw new IllegalArgumentException(
                        "an answer cannot be a tool call and obey a constraint at once: take "
                        + "the tool choice auto or none with a constraint");
            }
            choice.name().ifPresent(name -> {
                if (tools.stream().noneMatch(tool -> tool.name().equals(name))) {
                    throw new IllegalArgumentException("the tool " + name + " has to be called and is not among "
                            + tools);
                }
            });
        } else if (noCalls()) {
            boolean mayTry = asked == null && !options.tools().isEmpty();
            return mayTry ? template.callConstraint(tools, choice, null) : asked;
        } else if (tools.isEmpty() || asked == null && !options.strictTools()) {
            return asked;
        }
        return template.callConstraint(tools, choice, asked);
    }

    private void generate(int[] ids) {
        GenerationOptions asked = options.generation();
        GenerationOptions.Builder builder = asked.toBuilder()
                .stop()
                .sampling(asked.sampling().toBuilder().seed(seed).build())
                .constraint(phase == Phase.LIMITED ? limit : null);
        asked.maxTokens().ifPresent(most -> builder.maxTokens(most - tokens.size()));
        generation = session.generate(Prompt.ids(ids), builder.build());
    }

    // ---- taking ----------------------------------------------------------------------------------------------------

    /**
     * The pieces that are left, each generated by {@code hasNext} or {@code next}.
     *
     * @throws IllegalStateException if there was an iteration before
     */
    @Override
    public Iterator<ChatPart> iterator() {
        return pass.iterator();
    }

    /**
     * Generates to the end and passes on every piece as soon as it is there.
     *
     * @throws IllegalStateException if there was an iteration before
     */
    @Override
    public void forEach(Consumer<? super ChatPart> action) {
        pass.forEach(action);
    }

    /**
     * The pieces as a sequential stream; closing it closes this.
     *
     * @throws IllegalStateException if there was an iteration before
     */
    public Stream<ChatPart> stream() {
        return pass.stream().onClose(this::close);
    }

    /** The next piece, null at the end. */
    ChatPart take() {
        if (answer != null && !abandoned) {
            return ready.poll();
        }
        session.enterEvenClosed();
        try {
            if (abandoned) {
                throw new IllegalStateException("a later call of the chat has ended this answer");
            }
            while (ready.isEmpty() && answer == null) {
                advance();
            }
            return ready.poll();
        } finally {
            session.leave();
        }
    }

    private void advance() {
        Token token;
        try {
            token = generation.take();
        } catch (RuntimeException e) {
            end(FinishReason.CANCELLED);
            throw e;
        }
        if (token == null) {
            end(cancelled ? FinishReason.CANCELLED : generation.result().finishReason());
            return;
        }
        tokens.add(token);
        String piece = decoder.append(token.id());
        if (tokenizer.isEndOfGeneration(token.id())) {
            return;  // the generation says so itself, and its reason is its own
        }
        boolean wasReasoning = parser.inReasoning();
        written.append(piece);
        accept(parser.append(piece));
        if (parser.inReasoning()) {
            reasoningTokens++;
            if (budgetIsSpent() && answer == null) {
                endReasoning();
            }
        } else if (phase == Phase.REASONING && (wasReasoning || !parser.mayStillReason())) {
            limitFromHere(wasReasoning, piece);
        }
    }

    private boolean budgetIsSpent() {
        return options.reasoningBudget().isPresent() && reasoningTokens >= options.reasoningBudget().getAsInt();
    }

    /** The model has thought enough: the end of reasoning is put behind what it wrote. */
    private void endReasoning() {
        String marker = template.format().reasoningClose();
        generation.close();
        accept(parser.append(marker));
        written.append(marker);
        if (phase == Phase.REASONING) {
            phase = Phase.LIMITED;
        }
        continueWith(marker);
    }

    /**
     * From where the reasoning ended, or from the start if there is none, the answer is drawn anew within the grammar:
     * what a token brought beyond that place is forgotten.
     */
    private void limitFromHere(boolean reasoned, String piece) {
        generation.close();
        phase = Phase.LIMITED;
        if (!reasoned) {
            session.rewind(answerStart);
            tokens.clear();
            written.setLength(0);
            forgetAnswer();
            continueWith("");
            return;
        }
        String marker = template.format().reasoningEnd();
        int tail = written.length() - (written.lastIndexOf(marker) + marker.length());
        forgetAnswer();
        if (tail == 0 || tail > piece.length()) {
            continueWith("");
            return;
        }
        session.rewind(session.position() - 1);
        tokens.remove(tokens.size() - 1);
        written.setLength(written.length() - tail);
        continueWith(piece.substring(0, piece.length() - tail));
    }

    /** Of text behind the reasoning that is drawn anew. */
    private void forgetAnswer() {
        text.setLength(0);
        calls.clear();
        ready.removeIf(part -> part.kind() != ChatPart.Kind.REASONING);
        parser = template.format().parser("", toolsOnOffer(), firstCall);
        decoder = tokenizer.newStreamDecoder(true);
    }

    private void continueWith(String marker) {
        int[] ids = tokenizer.encodeContinuation(marker, true);
        if (options.generation().maxTokens().isPresent()
                && tokens.size() >= options.generation().maxTokens().getAsInt()) {
            end(FinishReason.MAX_TOKENS);
            return;
        }
        generate(ids);
    }

    private void accept(List<AnswerPart> parts) {
        for (AnswerPart part : parts) {
            if (part instanceof AnswerPart.Text piece) {
                acceptText(piece.text());
            } else if (part instanceof AnswerPart.Reasoning piece) {
                reasoning.append(piece.text());
                ready.add(ChatPart.reasoning(piece.text()));
            } else if (part instanceof AnswerPart.CallStart start) {
                ready.add(ChatPart.callStart(start.index(), start.name()));
            } else if (part instanceof AnswerPart.CallArguments arguments) {
                ready.add(ChatPart.callArguments(arguments.index(), arguments.fragment()));
            } else if (part instanceof AnswerPart.CallEnd end) {
                calls.add(end.call());
                ready.add(ChatPart.call(end.index(), end.call()));
            }
        }
    }

    private void acceptText(String piece) {
        String free = stopMatcher == null ? piece : stopMatcher.append(piece);
        deliver(free);
        if (stopMatcher != null && stopMatcher.stopped() && answer == null) {
            generation.close();
            finish(FinishReason.STOP);
        }
    }

    private void deliver(String piece) {
        if (!piece.isEmpty()) {
            text.append(piece);
            ready.add(ChatPart.text(piece));
        }
    }

    /**
     * The tokens so far, those of reasoning, markers and the end included, and those whose text is held back; for the
     * thread that takes pieces. Where an answer has to obey a constraint, the first of it are drawn anew once it is
     * certain that the model does not think first: then there are fewer than before.
     */
    public List<Token> tokens() {
        return Collections.unmodifiableList(tokens);
    }

    // ---- ending ----------------------------------------------------------------------------------------------------

    private void end(FinishReason reason) {
        if (answer != null) {
            return;
        }
        String rest = decoder.finish();
        accept(parser.append(rest));
        if (answer == null) {
            accept(parser.finish());
        }
        if (answer == null) {
            if (stopMatcher != null) {
                deliver(stopMatcher.finish());
            }
            finish(reason);
        }
    }

    private void finish(FinishReason reason) {
        if (limit != null) {
            constraintMet = phase == Phase.LIMITED && generation.result().complete();
        }
        Message message = Message.builder(Role.ASSISTANT)
                .text(text.toString())
                .reasoning(reasoning.length() == 0 ? null : reasoning.toString())
                .toolCalls(calls)
                .build();
        answer = new ChatAnswer(message, reason, tokens, promptTokens, evaluatedTokens, seed, constraintMet);
        chat.finished(this, message);
    }

    /** Called where a further call of the chat ends this: whoever goes on taking pieces should know. */
    void abandoned() {
        if (answer == null) {
            generation.close();
            end(FinishReason.CANCELLED);
            abandoned = true;
        }
    }

    /**
     * Ends the answer from any thread: the thread that takes pieces sees their end. Without effect once it has ended.
     */
    public void cancel() {
        cancelled = true;
        session.cancel();
    }

    /** Ends the answer if it is in progress, as if it had been cancelled. Legal from any thread. */
    @Override
    public void close() {
        if (answer != null) {
            return;
        }
        if (!session.tryEnter()) {
            cancel();
            return;
        }
        try {
            if (answer == null) {
                generation.close();
                end(FinishReason.CANCELLED);
            }
        } finally {
            session.leave();
        }
    }

    /**
     * The whole answer.
     *
     * @throws IllegalStateException if it has not ended: take all pieces or {@link #close} first
     */
    public ChatAnswer answer() {
        if (answer == null) {
            throw new IllegalStateException("the answer has not ended: take all pieces or close it first");
        }
        return answer;
    }
}
