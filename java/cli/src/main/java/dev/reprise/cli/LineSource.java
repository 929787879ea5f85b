package dev.reprise.cli;

/** Where a conversation's lines come from. */
interface LineSource extends AutoCloseable {
    /**
     * The next line; lines that end in a backslash go on in the next one, and are one here.
     *
     * @param prompt what is shown in front of it, where somebody reads it
     * @return null at the end
     */
    String read(String prompt);

    /** Has Ctrl-C run something, instead of ending the program, as long as no line is read. */
    void onInterrupt(Runnable action);

    /** Whether somebody sits in front of it. */
    boolean interactive();

    @Override
    void close();
}
