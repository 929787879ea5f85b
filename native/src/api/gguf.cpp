// reprise.h, the part about files.
#include <algorithm>

#include "api/guard.h"
#include "api/options.h"
#include "api/registry.h"
#include "core/error.h"
#include "gguf/gguf.h"
#include "model/backends.h"
#include "model/plan.h"

using namespace reprise;

namespace {

using Kind = Registry::Kind;

std::shared_ptr<const GgufFile> file_of(reprise_handle handle) {
    return Registry::instance().get<const GgufFile>(handle, Kind::GGUF);
}

}  // namespace

reprise_status reprise_gguf_open(const char* path, int32_t use_mmap, reprise_handle* gguf) {
    return guarded([&] {
        checked(gguf, "gguf") = 0;
        auto file = GgufFile::open(&checked(path, "path"), use_mmap != 0);
        *gguf = Registry::instance().add(Kind::GGUF, std::const_pointer_cast<GgufFile>(std::move(file)));
    });
}

reprise_status reprise_gguf_close(reprise_handle gguf) {
    return guarded([&] { Registry::instance().remove<GgufFile>(gguf, Kind::GGUF); });
}

reprise_status reprise_gguf_get_info(reprise_handle gguf, reprise_gguf_info* info) {
    return guarded([&] {
        const auto file = file_of(gguf);
        checked(info, "info") = {file->version(),   file->n_files(),      file->n_metadata(),   file->tensors().size(),
                                 file->alignment(), file->n_parameters(), file->tensor_bytes(), file->file_bytes()};
    });
}

reprise_status reprise_gguf_metadata(reprise_handle gguf, const uint8_t** data, uint64_t* size) {
    return guarded([&] {
        const auto file = file_of(gguf);
        checked(size, "size") = file->metadata().size();
        checked(data, "data") = file->metadata().data();
    });
}

reprise_status reprise_gguf_tensor(reprise_handle gguf, uint64_t index, reprise_tensor_info* info) {
    return guarded([&] {
        const auto file = file_of(gguf);
        if (index >= file->tensors().size()) {
            fail(REPRISE_INVALID_ARGUMENT, "tensor index %llu: the file has %zu tensors",
                 static_cast<unsigned long long>(index), file->tensors().size());
        }
        const Tensor& tensor = file->tensors()[index];
        reprise_tensor_info& out = checked(info, "info");
        out.name = tensor.name.c_str();
        out.type = tensor.type_number;
        out.n_dims = tensor.n_dims;
        std::copy_n(tensor.dims, 4, out.dims);
        out.n_bytes = tensor.n_bytes;
    });
}

const char* reprise_tensor_type_name(int32_t type) {
    const TypeTraits* found = find_type(type);
    return found != nullptr ? found->name : nullptr;
}

reprise_status reprise_gguf_memory(reprise_handle gguf, const reprise_model_options* model_options,
                                   const reprise_session_options* session_options, reprise_memory* memory) {
    return guarded([&] {
        const auto plan = build_plan(*file_of(gguf));
        const LoadOptions load = load_options(model_options);
        const EngineOptions engine = engine_options(session_options, plan->hparams);
        if (load.device == REPRISE_DEVICE_CUDA) check_cuda(*plan);
        const bool cuda =
            load.device == REPRISE_DEVICE_CUDA || (load.device == REPRISE_DEVICE_AUTO && cuda_refusal(*plan).empty() &&
                                                   cuda_unavailable_reason(load.device_index).empty());
        checked(memory, "memory") = cuda ? memory_cuda(*plan, load, engine) : memory_cpu(*plan, load, engine);
    });
}
