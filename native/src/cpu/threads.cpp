#include "cpu/threads.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>

#include "cpu/thread_pool.h"

namespace reprise::cpu {
namespace {

std::string read_text(const std::string& path) {
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

/// cpu.max holds "max 100000" or "150000 100000": microseconds of CPU time per period.
std::optional<double> quota_v2(const std::string& group) {
    std::istringstream text(read_text(group + "/cpu.max"));
    double quota = 0, period = 0;
    if (text >> quota >> period && quota > 0 && period > 0) return quota / period;
    return std::nullopt;
}

std::optional<double> quota_v1(const std::string& group) {
    std::istringstream quota_text(read_text(group + "/cpu.cfs_quota_us"));  // -1: none
    std::istringstream period_text(read_text(group + "/cpu.cfs_period_us"));
    double quota = 0, period = 0;
    if (quota_text >> quota && period_text >> period && quota > 0 && period > 0) return quota / period;
    return std::nullopt;
}

/// Applies read to the group and each ancestor, up to the mount. A container may see a path that exists only outside
/// of it; its own group is then the mount itself, and the groups that cannot be read do not count.
template <class Read>
void walk(const std::string& mount, std::string path, const Read& read, std::optional<double>& smallest) {
    for (;;) {
        while (!path.empty() && path.back() == '/') path.pop_back();
        if (const std::optional<double> quota = read(mount + path)) {
            smallest = smallest ? std::min(*smallest, *quota) : *quota;
        }
        if (path.empty()) return;
        path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
    }
}

bool lists_cpu(const std::string& controllers) {
    std::istringstream names(controllers);
    for (std::string name; std::getline(names, name, ',');) {
        if (name == "cpu") return true;
    }
    return false;
}

size_t affinity_count() {
    // The kernel refuses a mask smaller than its own; machines with more than 1024 possible cores exist.
    for (int cores = 1024; cores <= 1 << 20; cores *= 2) {
        cpu_set_t* set = CPU_ALLOC(cores);
        if (set == nullptr) break;
        const size_t bytes = CPU_ALLOC_SIZE(cores);
        const bool known = sched_getaffinity(0, bytes, set) == 0;
        const int count = known ? CPU_COUNT_S(bytes, set) : 0;
        CPU_FREE(set);
        if (known) return static_cast<size_t>(count);
    }
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online < 1 ? 1 : static_cast<size_t>(online);
}

}  // namespace

std::optional<double> cgroup_cpu_quota(const std::string& membership, const std::string& root) {
    std::optional<double> smallest;
    std::istringstream lines(membership);
    for (std::string line; std::getline(lines, line);) {  // "hierarchy:controllers:path", version 2 is "0::path"
        const size_t first = line.find(':');
        const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1);
        const std::string path = line.substr(second + 1);
        if (controllers.empty()) {
            walk(root, path, quota_v2, smallest);
            walk(root + "/unified", path, quota_v2, smallest);
        } else if (lists_cpu(controllers)) {
            walk(root + "/cpu", path, quota_v1, smallest);
            if (controllers != "cpu") walk(root + "/" + controllers, path, quota_v1, smallest);
        }
    }
    return smallest;
}

size_t available_threads() {
    size_t threads = std::max<size_t>(affinity_count(), 1);
    if (const auto quota = cgroup_cpu_quota(read_text("/proc/self/cgroup"), "/sys/fs/cgroup")) {
        threads = std::min(threads, static_cast<size_t>(std::max(std::ceil(*quota), 1.0)));
    }
    return threads;
}

}  // namespace reprise::cpu
