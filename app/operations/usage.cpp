#include "app/operations/usage.hpp"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

#include <dirent.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.hpp"
#include "base/since_boot.hpp"

namespace penstock::app {

namespace {

double seconds(const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

// Since Linux 6.2 the size of the directory is the number of descriptors; before, it is 0 and they
// have to be counted (proc(5)).
std::uint64_t open_descriptors() {
    struct stat status{};
    if (::stat("/proc/self/fd", &status) == 0 && status.st_size > 0)
        return static_cast<std::uint64_t>(status.st_size);
    DIR* const directory = ::opendir("/proc/self/fd");
    if (directory == nullptr) return 0;
    std::uint64_t count = 0;
    while (const dirent* entry = ::readdir(directory))
        if (entry->d_name[0] != '.') ++count;
    ::closedir(directory);
    return count == 0 ? 0 : count - 1;  // without the one that was opened for this
}

// What has passed since the 22nd field of /proc/self/stat, in ticks after the machine's start
// (proc(5)), before now. The start itself is in /proc/stat, which a sandbox hides (ProcSubset=pid).
double started() {
    std::ifstream stat_file("/proc/self/stat");
    const std::string stat((std::istreambuf_iterator<char>(stat_file)),
                           std::istreambuf_iterator<char>());
    const auto behind_name = stat.rfind(')');  // the name may hold anything
    if (behind_name == std::string::npos) return 0;
    std::istringstream fields(stat.substr(behind_name + 1));
    std::string field;
    constexpr int first_behind_name = 3;
    constexpr int wanted = 22;
    for (int i = first_behind_name; i <= wanted; ++i) fields >> field;
    using Seconds = std::chrono::duration<double>;
    const Seconds at(std::strtod(field.c_str(), nullptr) /
                     static_cast<double>(::sysconf(_SC_CLK_TCK)));
    return (Seconds(wall_now().time_since_epoch()) - Seconds(since_boot()) + at).count();
}

struct Memory {
    std::uint64_t size = 0;
    std::uint64_t resident = 0;
};

Memory memory_in_use() {
    std::ifstream statm("/proc/self/statm");
    Memory pages;
    if (!(statm >> pages.size >> pages.resident)) return {};
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    return {pages.size * page, pages.resident * page};
}

}  // namespace

std::uint64_t resident_memory() { return memory_in_use().resident; }

admin::ProcessUsage process_usage() {
    static const double start = started();
    admin::ProcessUsage usage{.started_s = start};
    rusage times{};
    if (::getrusage(RUSAGE_SELF, &times) == 0)
        usage.cpu_s = seconds(times.ru_utime) + seconds(times.ru_stime);
    const auto memory = memory_in_use();
    usage.virtual_bytes = memory.size;
    usage.resident_bytes = memory.resident;
    usage.open_descriptors = open_descriptors();
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) usage.max_descriptors = limit.rlim_cur;
    return usage;
}

}  // namespace penstock::app
