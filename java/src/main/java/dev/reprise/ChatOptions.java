package dev.reprise;

import java.time.LocalDate;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalInt;

/** How a {@link Chat} is held. Immutable. */
public final class ChatOptions {
    private static final ChatOptions DEFAULTS = builder().build();

    private final SessionOptions session;
    private final GenerationOptions generation;
    private final String system;
    private final ChatTemplate template;
    private final String templateName;
    private final List<Tool> tools;
    private final ToolChoice toolChoice;
    private final boolean strictTools;
    private final int maxToolRounds;
    private final ReasoningMode reasoning;
    private final String reasoningEffort;
    private final OptionalInt reasoningBudget;
    private final Map<String, Object> variables;
    private final LocalDate date;
    private final ContextPolicy contextPolicy;

    private ChatOptions(Builder builder) {
        session = builder.session;
        generation = builder.generation;
        system = builder.system;
        template = builder.template;
        templateName = builder.templateName;
        tools = builder.tools;
        toolChoice = builder.toolChoice;
        strictTools = builder.strictTools;
        maxToolRounds = builder.maxToolRounds;
        reasoning = builder.reasoning;
        reasoningEffort = builder.reasoningEffort;
        reasoningBudget = builder.reasoningBudget;
        variables = builder.variables;
        date = builder.date;
        contextPolicy = builder.contextPolicy;
    }

    /** The model's own template, no system message, no tools, {@link GenerationOptions#defaults}. */
    public static ChatOptions defaults() {
        return DEFAULTS;
    }

    /** A builder that starts at {@link #defaults}. */
    public static Builder builder() {
        return new Builder();
    }

    /** A builder that starts at this. */
    public Builder toBuilder() {
        Builder builder = new Builder();
        builder.session = session;
        builder.generation = generation;
        builder.system = system;
        builder.template = template;
        builder.templateName = templateName;
        builder.tools = tools;
        builder.toolChoice = toolChoice;
        builder.strictTools = strictTools;
        builder.maxToolRounds = maxToolRounds;
        builder.reasoning = reasoning;
        builder.reasoningEffort = reasoningEffort;
        builder.reasoningBudget = reasoningBudget;
        builder.variables = variables;
        builder.date = date;
        builder.contextPolicy = contextPolicy;
        return builder;
    }

    public SessionOptions session() {
        return session;
    }

    public GenerationOptions generation() {
        return generation;
    }

    public Optional<String> system() {
        return Optional.ofNullable(system);
    }

    public Optional<ChatTemplate> template() {
        return Optional.ofNullable(template);
    }

    public Optional<String> templateName() {
        return Optional.ofNullable(templateName);
    }

    public List<Tool> tools() {
        return tools;
    }

    public ToolChoice toolChoice() {
        return toolChoice;
    }

    public boolean strictTools() {
        return strictTools;
    }

    /** How often {@link Chat#run(String)} runs tools before it asks for an answer without them. */
    public int maxToolRounds() {
        return maxToolRounds;
    }

    public ReasoningMode reasoning() {
        return reasoning;
    }

    public Optional<String> reasoningEffort() {
        return Optional.ofNullable(reasoningEffort);
    }

    public OptionalInt reasoningBudget() {
        return reasoningBudget;
    }

    public Map<String, Object> variables() {
        return variables;
    }

    public Optional<LocalDate> date() {
        return Optional.ofNullable(date);
    }

    public ContextPolicy contextPolicy() {
        return contextPolicy;
    }

    private List<Object> state() {
        return Arrays.asList(session, generation, system, template, templateName, tools, toolChoice, strictTools,
                maxToolRounds, reasoning, reasoningEffort, reasoningBudget, variables, date, contextPolicy);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof ChatOptions that && state().equals(that.state());
    }

    @Override
    public int hashCode() {
        return state().hashCode();
    }

    @Override
    public String toString() {
        return "ChatOptions" + state();
    }

    /** Collects the settings. */
    public static final class Builder {
        private SessionOptions session = SessionOptions.defaults();
        private GenerationOptions generation = GenerationOptions.defaults();
        private String system;
        private ChatTemplate template;
        private String templateName;
        private List<Tool> tools = List.of();
        private ToolChoice toolChoice = ToolChoice.auto();
        private boolean strictTools;
        private int maxToolRounds = 10;
        private ReasoningMode reasoning = ReasoningMode.DEFAULT;
        private String reasoningEffort;
        private OptionalInt reasoningBudget = OptionalInt.empty();
        private Map<String, Object> variables = Map.of();
        private LocalDate date;
        private ContextPolicy contextPolicy = ContextPolicy.FAIL;

        private Builder() {}

        /** Context length and the like of the chat's session. Without effect on a chat that is open. */
        public Builder session(SessionOptions session) {
            this.session = Objects.requireNonNull(session, "session");
            return this;
        }

        /** How answers are generated: length, sampling, a {@link Constraint} of the answer's text. */
        public Builder generation(GenerationOptions generation) {
            this.generation = Objects.requireNonNull(generation, "generation");
            return this;
        }

        /** A system message that a new chat begins with; null: none. */
        public Builder system(String system) {
            this.system = system;
            return this;
        }

        /** Another template than the model's own; null: the model's. */
        public Builder template(ChatTemplate template) {
            this.template = template;
            return this;
        }

        /** The model's template of this name, of a file that has several; null: its default one. */
        public Builder templateName(String templateName) {
            this.templateName = templateName;
            return this;
        }

        /**
         * Tools that the model may call.
         *
         * @throws IllegalArgumentException if two have the same name
         */
        public Builder tools(List<Tool> tools) {
            if (tools.stream().map(Tool::name).distinct().count() < tools.size()) {
                throw new IllegalArgumentException("two tools have the same name: " + tools);
            }
            this.tools = List.copyOf(tools);
            return this;
        }

        /** Tools that the model may call. */
        public Builder tools(Tool... tools) {
            return tools(List.of(tools));
        }

        /** Whether it may or must call them. */
        public Builder toolChoice(ToolChoice toolChoice) {
            this.toolChoice = Objects.requireNonNull(toolChoice, "toolChoice");
            return this;
        }

        /** Whether arguments are forced to obey their schemas. Calls that {@link #toolChoice} forces always do. */
        public Builder strictTools(boolean strictTools) {
            this.strictTools = strictTools;
            return this;
        }

        /**
         * How often {@link Chat#run(String)} runs tools before it asks for an answer without them; 10 unless told
         * otherwise.
         *
         * @throws IllegalArgumentException if it is not positive
         */
        public Builder maxToolRounds(int maxToolRounds) {
            if (maxToolRounds < 1) {
                throw new IllegalArgumentException("maxToolRounds is " + maxToolRounds + ", it must be positive");
            }
            this.maxToolRounds = maxToolRounds;
            return this;
        }

        /** Whether the model thinks first, where its template knows how to say so. */
        public Builder reasoning(ReasoningMode reasoning) {
            this.reasoning = Objects.requireNonNull(reasoning, "reasoning");
            return this;
        }

        /** How hard it thinks: the template's variable {@code reasoning_effort}, most often low, medium or high. */
        public Builder reasoningEffort(String reasoningEffort) {
            this.reasoningEffort = reasoningEffort;
            return this;
        }

        /**
         * The most tokens of reasoning; then its end is put behind it and the answer begins.
         *
         * @throws IllegalArgumentException if it is negative
         */
        public Builder reasoningBudget(int tokens) {
            if (tokens < 0) {
                throw new IllegalArgumentException("the reasoning budget is " + tokens + ", it must not be negative");
            }
            this.reasoningBudget = OptionalInt.of(tokens);
            return this;
        }

        /** Further variables that the template sees: maps, lists, strings, numbers, booleans and null. */
        public Builder variables(Map<String, ?> variables) {
            this.variables = Collections.unmodifiableMap(new LinkedHashMap<>(variables));
            return this;
        }

        /** The day that templates which show one take for today; null: today. */
        public Builder date(LocalDate date) {
            this.date = date;
            return this;
        }

        /** What happens when the conversation does not fit into the context. */
        public Builder contextPolicy(ContextPolicy contextPolicy) {
            this.contextPolicy = Objects.requireNonNull(contextPolicy, "contextPolicy");
            return this;
        }

        /** The settings so far. */
        public ChatOptions build() {
            return new ChatOptions(this);
        }
    }
}
