// Log lines go to the callback the embedding program registered, on the thread that caused them.
#pragma once

#include "reprise.h"

namespace reprise {

void set_log_callback(reprise_log_fn callback, void* user);
void log(reprise_log_level level, const char* format, ...) __attribute__((format(printf, 2, 3)));

}  // namespace reprise
