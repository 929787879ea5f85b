// The JVM unloads the library when it has collected the class loader that loaded it. No Java thread is inside then, nor
// can one come: what the classes never closed is freed here, and with it the threads of models that run on the CPU,
// which must not outlive the code that they run.
#include <jni.h>

#include "api/registry.h"
#include "core/log.h"

/// The generated glue's, renamed by CMakeLists.txt.
extern "C" JNIEXPORT void JNICALL JavaCPP_OnUnload(JavaVM* vm, void* reserved);

extern "C" JNIEXPORT void JNICALL JNI_OnUnload(JavaVM* vm, void* reserved) {
    reprise::set_log_callback(nullptr, nullptr);
    reprise::Registry::instance().clear();
    JavaCPP_OnUnload(vm, reserved);
}
