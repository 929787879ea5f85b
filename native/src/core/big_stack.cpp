#include "core/big_stack.h"

#include <pthread.h>

#include <cstring>
#include <exception>

#include "core/error.h"

namespace reprise {

namespace {

struct Work {
    const std::function<void()>& body;
    std::exception_ptr thrown;
};

void* run(void* argument) {
    Work& work = *static_cast<Work*>(argument);
    try {
        work.body();
    } catch (...) {
        work.thrown = std::current_exception();
    }
    return nullptr;
}

}  // namespace

void run_on_big_stack(size_t stack_bytes, const std::function<void()>& body) {
    Work work{body, nullptr};
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, stack_bytes);
    pthread_t thread;
    const int error = pthread_create(&thread, &attributes, run, &work);
    pthread_attr_destroy(&attributes);
    if (error != 0) {
        fail(REPRISE_OUT_OF_MEMORY, "no thread with a stack of %zu bytes can be made: %s", stack_bytes,
             std::strerror(error));
    }
    pthread_join(thread, nullptr);
    if (work.thrown) std::rethrow_exception(work.thrown);
}

}  // namespace reprise
