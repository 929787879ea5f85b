package dev.reprise;

/** What a loaded model is and where it runs. Immutable. */
public final class ModelInfo {
    private final Values values;

    ModelInfo(Values values) {
        this.values = values;
    }

    /** What it holds: a record, which would show how many these are if it were public. */
    record Values(
            String architecture,
            Device device,
            int deviceIndex,
            int threads,
            int vocabularySize,
            int embeddingLength,
            int layerCount,
            int headCount,
            int kvHeadCount,
            int headDim,
            int contextLength,
            long parameterCount,
            long weightBytes,
            long bytesPerToken,
            long memoryBytes) {}

    /** As the file names it, for example {@code llama}. */
    public String architecture() {
        return values.architecture();
    }

    /** {@link Device#CPU} or {@link Device#CUDA}: what is used. */
    public Device device() {
        return values.device();
    }

    /** Which CUDA device. */
    public int deviceIndex() {
        return values.deviceIndex();
    }

    /** CPU threads. */
    public int threads() {
        return values.threads();
    }

    /** How many tokens there are, which is the number of logits. */
    public int vocabularySize() {
        return values.vocabularySize();
    }

    /** The width of the hidden state. */
    public int embeddingLength() {
        return values.embeddingLength();
    }

    /** How many layers there are. */
    public int layerCount() {
        return values.layerCount();
    }

    /** Attention heads of a layer. */
    public int headCount() {
        return values.headCount();
    }

    /** Key and value heads of a layer. */
    public int kvHeadCount() {
        return values.kvHeadCount();
    }

    /** The width of a head. */
    public int headDim() {
        return values.headDim();
    }

    /** The context the model was trained for, in tokens. */
    public int contextLength() {
        return values.contextLength();
    }

    /** Elements of all tensors. */
    public long parameterCount() {
        return values.parameterCount();
    }

    /** Bytes of the weights in the file. */
    public long weightBytes() {
        return values.weightBytes();
    }

    /** Weight bytes that decoding one token reads. */
    public long bytesPerToken() {
        return values.bytesPerToken();
    }

    /** Memory that the weights take on the device. */
    public long memoryBytes() {
        return values.memoryBytes();
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof ModelInfo that && values.equals(that.values);
    }

    @Override
    public int hashCode() {
        return values.hashCode();
    }

    @Override
    public String toString() {
        return "ModelInfo" + values.toString().substring("Values".length());
    }
}
