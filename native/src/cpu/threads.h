// What limits the number of threads that run at once, apart from available_threads() so that tests can use fixtures.
#pragma once

#include <optional>
#include <string>

namespace reprise::cpu {

/// The smallest CPU quota, in cores, of a control group and its ancestors; empty if none is set.
/// membership is the text of /proc/self/cgroup, root the folder the hierarchies are mounted in (/sys/fs/cgroup).
std::optional<double> cgroup_cpu_quota(const std::string& membership, const std::string& root);

}  // namespace reprise::cpu
