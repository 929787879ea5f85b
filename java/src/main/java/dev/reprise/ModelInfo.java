package dev.reprise;

/**
 * What a loaded model is and where it runs.
 *
 * @param architecture as the file names it, for example {@code llama}
 * @param device {@link Device#CPU} or {@link Device#CUDA}: what is used
 * @param deviceIndex which CUDA device
 * @param threads CPU threads
 * @param vocabularySize how many tokens there are, which is the number of logits
 * @param embeddingLength the width of the hidden state
 * @param layerCount how many layers there are
 * @param headCount attention heads of a layer
 * @param kvHeadCount key and value heads of a layer
 * @param headDim the width of a head
 * @param contextLength the context the model was trained for, in tokens
 * @param parameterCount elements of all tensors
 * @param weightBytes bytes of the weights in the file
 * @param bytesPerToken weight bytes that decoding one token reads
 * @param memoryBytes memory that the weights take on the device
 */
public record ModelInfo(
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
