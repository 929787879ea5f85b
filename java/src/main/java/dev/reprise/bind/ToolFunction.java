package dev.reprise.bind;

/** What runs when a tool is called. */
public interface ToolFunction {
    /**
     * The result as a model reads it.
     *
     * @param arguments the text of a JSON object
     * @throws Exception whatever goes wrong: of the arguments or within
     */
    String call(String arguments) throws Exception;
}
