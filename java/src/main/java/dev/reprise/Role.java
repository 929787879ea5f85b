package dev.reprise;

import java.util.Locale;

/** Who speaks in a {@link Message}. */
public enum Role {
    /** Instructions that hold for the whole conversation. */
    SYSTEM,
    /** Who asks. */
    USER,
    /** The model. */
    ASSISTANT,
    /** What a tool that the model called has answered. */
    TOOL;

    /** As chat templates spell it: {@code system}, {@code user}, {@code assistant} or {@code tool}. */
    public String text() {
        return name().toLowerCase(Locale.ROOT);
    }

    /**
     * The role that a chat template spells so.
     *
     * @throws IllegalArgumentException if there is none
     */
    public static Role of(String text) {
        for (Role role : values()) {
            if (role.text().equals(text)) {
                return role;
            }
        }
        throw new IllegalArgumentException("'" + text + "' is no role: system, user, assistant and tool are");
    }
}
