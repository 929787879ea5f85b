package dev.reprise.langchain4j;

import dev.langchain4j.exception.InvalidRequestException;
import dev.langchain4j.exception.UnsupportedFeatureException;
import dev.reprise.ContextOverflowException;
import dev.reprise.TemplateException;

/** What goes wrong, in LangChain4j's types where it has one: its retries and fallbacks go by them. */
final class Failures {
    private Failures() {}

    static RuntimeException of(RuntimeException failure) {
        if (failure instanceof IllegalArgumentException || failure instanceof ContextOverflowException
                || failure instanceof TemplateException) {
            return new InvalidRequestException(failure.getMessage(), failure);
        } else if (failure instanceof UnsupportedOperationException) {
            UnsupportedFeatureException unsupported = new UnsupportedFeatureException(failure.getMessage());
            unsupported.initCause(failure);
            return unsupported;
        }
        return failure;
    }
}
