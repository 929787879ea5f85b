// What a session handle stands for, and how calls get at it.
#pragma once

#include <memory>
#include <utility>

#include "api/guard.h"
#include "api/model_object.h"
#include "api/registry.h"

namespace reprise {

struct SessionObject {
    template <class... Arguments>
    explicit SessionObject(const std::shared_ptr<ModelObject>& model, Arguments&&... arguments)
        : model(model), session(std::forward<Arguments>(arguments)...) {}

    const std::weak_ptr<ModelObject> model;
    Session session;
};

inline std::shared_ptr<SessionObject> session_of(reprise_handle handle) {
    return Registry::instance().get<SessionObject>(handle, Registry::Kind::SESSION);
}

/// Gives a session that was just opened a handle, and its model the duty to close it. REPRISE_INVALID_HANDLE where the
/// model was closed meanwhile.
reprise_handle add_session(ModelObject& model, std::shared_ptr<SessionObject> object);

/// Runs body on a session with its lock held.
template <class Body>
reprise_status in_session(reprise_handle handle, Body body) {
    return guarded([&] {
        const auto object = session_of(handle);
        const auto lock = object->session.enter();
        body(object->session);
    });
}

}  // namespace reprise
