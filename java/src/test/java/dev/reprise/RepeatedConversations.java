package dev.reprise;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Iterator;
import java.util.List;

/**
 * A program that holds conversation after conversation with one model, each with a template, a constraint and tools of
 * its own, that are forked, saved, restored, left in the middle and now and then not even closed; and prints by how
 * many KB the resident memory and the used Java heap have grown since the first ones. In a process of its own, with a
 * Java heap that is in memory from the start.
 */
final class RepeatedConversations {
    private static final String TEMPLATE = "{# %d #}{{ bos_token }}{%% for m in messages %%}{{ m.role }}: "
            + "{{ m.content }}{{ eos_token }}{%% endfor %%}assistant: ";

    /** As many as fill the model's caches of templates and constraints. */
    private static final int FIRST_CONVERSATIONS = 60;

    private RepeatedConversations() {}

    /** Arguments: the model, a folder to save in, how many conversations. */
    public static void main(String[] arguments) throws IOException, InterruptedException {
        int conversations = Integer.parseInt(arguments[2]);
        long resident = 0;
        long heap = 0;
        try (Model model = Model.load(Path.of(arguments[0]))) {
            for (int number = 0; number < conversations; number++) {
                if (number == FIRST_CONVERSATIONS) {
                    heap = heapKb();
                    resident = RepeatedUse.residentKb();
                }
                converse(model, Path.of(arguments[1], "saved"), number);
            }
            heap = heapKb() - heap;
            resident = RepeatedUse.residentKb() - resident;
        }
        System.out.println(resident + " " + heap);
    }

    /** Of what is in use: what nobody can reach any more is freed first, in the native library too. */
    private static long heapKb() throws InterruptedException {
        System.gc();
        Thread.sleep(300);
        Runtime runtime = Runtime.getRuntime();
        return (runtime.totalMemory() - runtime.freeMemory()) / 1024;
    }

    private static void converse(Model model, Path saved, int number) {
        Tool tool = Tool.of("tool" + number, "", "{\"type\":\"object\",\"properties\":{\"a" + number
                + "\":{\"type\":\"integer\",\"maximum\":99,\"minimum\":0}},\"required\":[\"a" + number
                + "\"],\"additionalProperties\":false}");
        ChatOptions talks = ChatOptions.builder()
                .template(ChatTemplate.of(TEMPLATE.formatted(number)))
                .session(SessionOptions.builder().contextLength(384).build())
                .contextPolicy(ContextPolicy.DROP_OLDEST)
                .generation(GenerationOptions.builder().maxTokens(6).build())
                .build();
        ChatOptions constrained = talks.toBuilder()
                .generation(talks.generation().toBuilder()
                        .constraint(Constraint.regex("[a-z]{2,9}" + number)).build())
                .build();
        ChatOptions calls = talks.toBuilder()
                .tools(tool)
                .toolChoice(ToolChoice.required())
                .generation(talks.generation().toBuilder().maxTokens(40).build())
                .build();
        Chat chat = model.newChat(talks);
        chat.ask("Hello");
        chat.ask(List.of(Message.user("A word?")), constrained);
        for (ToolCall call : chat.ask(List.of(Message.user("Call.")), calls).toolCalls()) {
            chat.ask(List.of(Message.tool(call, "7")), talks);
        }
        if (number % 4 == 0) {
            chat.save(saved);
            try (Chat restored = model.restoreChat(saved, talks)) {
                restored.ask("Again?");
            }
        }
        Chat fork = chat.fork();
        Iterator<ChatPart> left = fork.send("And?").iterator();
        left.next();
        if (number % 10 != 0) {
            fork.close();
            chat.close();
        }  // else they are forgotten, and closed when the collector finds them
    }
}
