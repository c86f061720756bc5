#include "tests/support/process_stats.hpp"

#include <filesystem>
#include <fstream>
#include <string>

namespace penstock::test {

namespace {

std::filesystem::path proc(pid_t pid, const char* entry) {
    return "/proc/" + std::to_string(pid) + "/" + entry;
}

std::size_t entries_of(const std::filesystem::path& directory) {
    std::error_code error;
    std::size_t count = 0;
    for (std::filesystem::directory_iterator i(directory, error), end; !error && i != end;
         i.increment(error))
        ++count;
    return count;
}

CpuTime time_in(const std::filesystem::path& task) {
    std::ifstream file(task / "schedstat");
    std::int64_t ran = 0;
    std::int64_t waited = 0;
    file >> ran >> waited;
    return {std::chrono::nanoseconds(ran), std::chrono::nanoseconds(waited)};
}

}  // namespace

std::size_t descriptors_of(pid_t pid) { return entries_of(proc(pid, "fd")); }
std::size_t threads_of(pid_t pid) { return entries_of(proc(pid, "task")); }

std::chrono::nanoseconds cpu_of(pid_t pid) {
    std::chrono::nanoseconds total{};
    std::error_code error;
    for (std::filesystem::directory_iterator i(proc(pid, "task"), error), end; !error && i != end;
         i.increment(error))
        total += time_in(i->path()).ran;
    return total;
}

CpuTime time_of(pid_t process, pid_t thread) {
    return time_in(proc(process, "task") / std::to_string(thread));
}

bool is_stopped(pid_t pid) {
    for (const auto& task : std::filesystem::directory_iterator(proc(pid, "task"))) {
        std::ifstream file(task.path() / "stat");
        std::string stat;
        std::getline(file, stat);
        const auto at = stat.rfind(") ");  // behind the name
        if (at == std::string::npos || stat[at + 2] != 'T') return false;
    }
    return true;
}

std::uint64_t private_memory_of(pid_t pid) {
    std::ifstream file(proc(pid, "smaps_rollup"));
    std::uint64_t total = 0;
    for (std::string word; file >> word;) {
        if (word != "Private_Clean:" && word != "Private_Dirty:") continue;
        std::uint64_t kib = 0;
        file >> kib;
        total += kib * 1024;
    }
    return total;
}

}  // namespace penstock::test
