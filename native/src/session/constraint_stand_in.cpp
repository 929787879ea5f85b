// In a library without the text crate there are no constraints.
#include "core/error.h"
#include "session/constraint.h"

namespace reprise {

std::unique_ptr<Constraint> make_constraint(reprise_handle constraint) {
    fail(REPRISE_INVALID_HANDLE, "0x%llx is no constraint: this library was built without native/text",
         static_cast<unsigned long long>(constraint));
}

}  // namespace reprise
