#include "compare_steps.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "api/model_object.h"
#include "api/options.h"
#include "api/registry.h"
#include "core/error.h"
#include "tool.h"

namespace tool {

namespace {

using namespace reprise;

/// A value by where it comes in a step.
struct Place {
    uint32_t layer;
    std::string launch, value;
    size_t nth;  // of those that have these names in the layer
    auto operator<=>(const Place&) const = default;
};

struct Difference {
    double worst = 0, sum = 0;
    size_t n = 0;
    std::string at;  // the worst
};

/// Gives every value of a step its place.
class Places {
  public:
    Place next(const Launch& launch, const StepValue& value) {
        const std::string name = kernel_name(launch.kernel);
        const size_t nth = n_[{launch.layer, name, value.name}]++;
        return {launch.layer, name, value.name, nth};
    }

  private:
    std::map<std::tuple<uint32_t, std::string, std::string>, size_t> n_;
};

/// The difference by the root mean square of what is expected. NaN where one of both is no number.
double relative_difference(std::span<const float> actual, std::span<const float> expected) {
    double difference = 0, square = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
        const double e = expected[i], d = actual[i] - e;
        difference += d * d;
        square += e * e;
    }
    return difference == 0 ? 0 : std::sqrt(difference / square);
}

std::shared_ptr<DeviceModel> device_of(reprise_handle model) {
    return Registry::instance().get<ModelObject>(model, Registry::Kind::MODEL)->device;
}

class Comparison {
  public:
    Comparison(std::span<const int32_t> ids, double tolerance) : ids_(ids), tolerance_(tolerance) {}

    void step(StepTracer& model, StepTracer& exact, size_t position, size_t n_rows) {
        const std::span<const int32_t> ids = ids_.subspan(position, n_rows);
        const auto at = static_cast<uint32_t>(position);
        std::map<Place, std::vector<float>> expected;
        Places exact_places, places;
        exact.step(ids, at, [&](const Launch& launch, const StepValue& value, std::span<const float> rows) {
            expected.emplace(exact_places.next(launch, value), std::vector<float>(rows.begin(), rows.end()));
        });
        model.step(ids, at, [&](const Launch& launch, const StepValue& value, std::span<const float> rows) {
            const Place place = places.next(launch, value);
            const auto found = expected.find(place);
            if (found == expected.end() || found->second.size() != rows.size()) {
                ++n_unknown_[{place.launch, place.value}];  // of launches that the exact backend does not have
                return;
            }
            compare(place, value.width(), rows, found->second, position);
            expected.erase(found);
        });
        for (const auto& [place, rows] : expected) ++n_unseen_[{place.launch, place.value}];
    }

    bool report() const {
        if (n_values_ == 0) die("the device shows no value that the exact steps have");
        std::printf("| launch | value | mean difference | worst | there |\n|---|---|---|---|---|\n");
        for (const auto& [kind, difference] : differences_) {
            std::printf("| %s | %s | %.2g | %.2g | %s |\n", kind.first.c_str(), kind.second.c_str(),
                        difference.sum / static_cast<double>(difference.n), difference.worst, difference.at.c_str());
        }
        for (const auto& [kind, n] : n_unknown_)
            std::printf("not compared, since only the device has it: %s of %s, %zu times\n", kind.second.c_str(),
                        kind.first.c_str(), n);
        for (const auto& [kind, n] : n_unseen_)
            std::printf("not compared, since only the exact steps show it: %s of %s, %zu times\n", kind.second.c_str(),
                        kind.first.c_str(), n);
        if (first_off_.empty()) {
            std::printf("all %zu values are within %g of the exact ones\n", n_values_, tolerance_);
        } else {
            std::printf("%zu of %zu values are off; the first: %s\n", n_off_, n_values_, first_off_.c_str());
        }
        return first_off_.empty();
    }

  private:
    void compare(const Place& place, size_t width, std::span<const float> actual, std::span<const float> expected,
                 size_t position) {
        Difference& difference = differences_[{place.launch, place.value}];
        bool is_off = false;
        for (size_t row = 0; row < actual.size() / width; ++row) {
            const double d =
                relative_difference(actual.subspan(row * width, width), expected.subspan(row * width, width));
            const std::string at =
                format("layer %u, position %zu (id %d)", place.layer, position + row, ids_[position + row]);
            difference.sum += d;
            ++difference.n;
            if (!(d <= difference.worst)) {
                difference.worst = d;
                difference.at = at;
            }
            if (d <= tolerance_) continue;
            is_off = true;
            if (first_off_.empty()) {
                first_off_ = format("%s of %s, %s, differs by %.3g where %g is allowed", place.value.c_str(),
                                    place.launch.c_str(), at.c_str(), d, tolerance_);
            }
        }
        ++n_values_;
        n_off_ += is_off ? 1 : 0;
    }

    const std::span<const int32_t> ids_;
    const double tolerance_;
    using Kind = std::pair<std::string, std::string>;  // launch and value
    std::map<Kind, Difference> differences_;
    std::map<Kind, size_t> n_unknown_, n_unseen_;
    std::string first_off_;
    size_t n_values_ = 0, n_off_ = 0;
};

}  // namespace

bool compare_steps(reprise_handle model, reprise_handle exact, const reprise_session_options& options,
                   std::span<const int32_t> ids, const StepComparison& how) {
    try {
        const auto device = device_of(model), reference = device_of(exact);
        const HyperParams& hparams = device->plan().hparams;
        const auto n_vocab = static_cast<int32_t>(hparams.n_vocab);
        for (size_t i = 0; i < ids.size(); ++i) {
            if (ids[i] < 0 || ids[i] >= n_vocab)
                die("token id %d at index %zu is outside the vocabulary of %d tokens", ids[i], i, n_vocab);
        }
        if (const size_t most = hparams.max_session_context(); ids.size() > most)
            die("%zu tokens are more than the model's context of %zu", ids.size(), most);
        const auto tracer = device->trace_steps(engine_options(&options, hparams).kv_type),
                   expected = reference->trace_steps(TensorType::F32);
        Comparison comparison(ids, how.tolerance);
        for (size_t position = 0; position < ids.size(); position += how.n_rows)
            comparison.step(*tracer, *expected, position, std::min(how.n_rows, ids.size() - position));
        return comparison.report();
    } catch (const Error& error) {
        die("%s", error.what());
    }
}

}  // namespace tool
