#include "tests/bench/loadgen/process_cpu.hpp"

#include <unistd.h>

#include <ctime>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace penstock::bench {

namespace {

struct Ticks {
    std::uint64_t user = 0, system = 0, reaped_user = 0, reaped_system = 0;
};

// Fields 14 to 17 of /proc/PID/stat. The name in field 2 may hold blanks and parentheses, so
// counting starts after the last one.
Ticks read_ticks(pid_t pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string line;
    std::getline(file, line);
    const auto name_end = line.rfind(')');
    if (name_end == std::string::npos) return {};
    Ticks ticks;
    int count = 3;  // the field that comes next
    std::istringstream fields(line.substr(name_end + 1));
    for (std::string skipped; count < 14 && fields >> skipped; ++count) {
    }
    fields >> ticks.user >> ticks.system >> ticks.reaped_user >> ticks.reaped_system;
    return ticks;
}

std::uint64_t exact_cpu_time(pid_t pid) {
    clockid_t clock{};
    timespec time{};
    if (::clock_getcpuclockid(pid, &clock) != 0 || ::clock_gettime(clock, &time) != 0) return 0;
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000U +
           static_cast<std::uint64_t>(time.tv_nsec);
}

std::vector<pid_t> children_of(pid_t pid) {
    std::vector<pid_t> children;
    std::error_code error;
    const std::filesystem::path tasks("/proc/" + std::to_string(pid) + "/task");
    for (std::filesystem::directory_iterator it(tasks, error), end; !error && it != end;
         it.increment(error)) {
        std::ifstream file(it->path() / "children");
        for (pid_t child = 0; file >> child;) children.push_back(child);
    }
    return children;
}

}  // namespace

CpuTime cpu_time_of(std::span<const pid_t> roots) {
    static const auto tick_ns = 1'000'000'000U / static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
    CpuTime sum;
    for (const pid_t pid : roots) {
        const Ticks ticks = read_ticks(pid);
        sum.total_ns += exact_cpu_time(pid) + (ticks.reaped_user + ticks.reaped_system) * tick_ns;
        sum.user_ticks += ticks.user + ticks.reaped_user;
        sum.system_ticks += ticks.system + ticks.reaped_system;
        const CpuTime below = cpu_time_of(children_of(pid));
        sum.total_ns += below.total_ns;
        sum.user_ticks += below.user_ticks;
        sum.system_ticks += below.system_ticks;
    }
    return sum;
}

}  // namespace penstock::bench
