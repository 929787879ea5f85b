package dev.reprise;

/** What a chat does when a conversation does not fit into the context any more. */
public enum ContextPolicy {
    /** {@link ContextOverflowException}, which names both numbers. */
    FAIL,
    /**
     * The oldest turns are left out of what the model sees, whole turns at a time, system messages never; {@link
     * Chat#messages} keeps them, and {@link Chat#droppedMessages} says how many are left out.
     */
    DROP_OLDEST
}
