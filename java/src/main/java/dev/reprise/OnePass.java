package dev.reprise;

import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.Spliterator;
import java.util.function.Consumer;
import java.util.function.Supplier;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/** The ways through items that are made as they are asked for, of which one can be gone once. */
final class OnePass<T> {
    private final Supplier<T> take;
    private final String secondPass;
    private final String ended;
    private boolean begun;

    /**
     * The ways.
     *
     * @param take gives the next item, null at the end
     * @param secondPass what is said of a second way
     * @param ended what is said where an iterator has no further item
     */
    OnePass(Supplier<T> take, String secondPass, String ended) {
        this.take = take;
        this.secondPass = secondPass;
        this.ended = ended;
    }

    private void begin() {
        if (begun) {
            throw new IllegalStateException(secondPass);
        }
        begun = true;
    }

    Iterator<T> iterator() {
        begin();
        return new Iterator<>() {
            private T next;

            @Override
            public boolean hasNext() {
                if (next == null) {
                    next = take.get();
                }
                return next != null;
            }

            @Override
            public T next() {
                if (!hasNext()) {
                    throw new NoSuchElementException(ended);
                }
                T item = next;
                next = null;
                return item;
            }
        };
    }

    void forEach(Consumer<? super T> action) {
        begin();
        for (T item = take.get(); item != null; item = take.get()) {
            action.accept(item);
        }
    }

    Stream<T> stream() {
        begin();
        return StreamSupport.stream(new Taking(), false);
    }

    /** Is never split, so that a parallel stream takes no more items than a sequential one. */
    private final class Taking implements Spliterator<T> {
        @Override
        public boolean tryAdvance(Consumer<? super T> action) {
            T item = take.get();
            if (item != null) {
                action.accept(item);
            }
            return item != null;
        }

        @Override
        public Spliterator<T> trySplit() {
            return null;
        }

        @Override
        public long estimateSize() {
            return Long.MAX_VALUE;
        }

        @Override
        public int characteristics() {
            return ORDERED | NONNULL | IMMUTABLE;
        }
    }
}
