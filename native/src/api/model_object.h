// What a model handle stands for: the weights on their device, and the sessions to close with it.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "session/engine.h"
#include "session/session.h"

namespace reprise {

struct ModelObject {
    std::shared_ptr<DeviceModel> device;
    uint64_t n_parameters = 0;

    std::mutex mutex;
    bool closed = false;
    std::vector<std::weak_ptr<Session>> sessions;
};

}  // namespace reprise
