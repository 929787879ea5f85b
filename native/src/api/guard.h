// Nothing thrown crosses the C interface: every function body runs inside guarded().
#pragma once

#include <new>

#include "core/error.h"

namespace reprise {

/// Keeps the message for reprise_last_error() in this thread, of a very long one its beginning.
reprise_status report(reprise_status status, const char* message, int32_t line = 0) noexcept;

template <class Body>
reprise_status guarded(Body body) noexcept {
    try {
        body();
        return REPRISE_OK;
    } catch (const Error& error) {
        return report(error.status(), error.what(), error.line());
    } catch (const std::bad_alloc&) {
        return report(REPRISE_OUT_OF_MEMORY, "out of memory");
    } catch (const std::exception& error) {
        return report(REPRISE_INTERNAL, error.what());
    } catch (...) {
        return report(REPRISE_INTERNAL, "an unknown exception was thrown");
    }
}

template <class T>
T& checked(T* pointer, const char* name) {
    if (pointer == nullptr) fail(REPRISE_INVALID_ARGUMENT, "argument %s is null", name);
    return *pointer;
}

}  // namespace reprise
