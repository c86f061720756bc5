#include "app/limits.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include "admin/server.hpp"
#include "app/with_commas.hpp"
#include "net/pipe_pool.hpp"

namespace penstock::app {

namespace {

// Logs, files that are read, the control plane, and the admin API with all its connections.
constexpr std::uint64_t reserve = 64;
static_assert(admin::Server::max_connections <= reserve / 2);
constexpr std::uint64_t per_worker = 4;         // epoll, eventfd, and some air
constexpr std::uint64_t per_pipe = 2;
constexpr std::uint64_t per_connection = 2;

std::uint64_t machine_memory() {
    return static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
           static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

/// 0 = none: "max" in version 2, and in version 1 a number beyond all memory.
std::uint64_t read_limit(const std::filesystem::path& path) {
    std::ifstream file(path);
    std::uint64_t limit = 0;
    return file >> limit && limit < machine_memory() ? limit : 0;
}

}  // namespace

std::expected<ConnectionLimit, std::string> connection_limit(std::uint64_t configured,
                                                             std::uint64_t descriptor_limit,
                                                             const DescriptorNeeds& needs) {
    const std::uint64_t taken = reserve + needs.listening_sockets + needs.warm_connections +
                                needs.checks +
                                needs.workers * (per_worker + per_pipe * net::PipePool::max_pipes);
    const std::uint64_t possible =
        descriptor_limit > taken ? (descriptor_limit - taken) / per_connection : 0;
    const std::string cause = "descriptor limit " + with_commas(descriptor_limit);
    if (configured > possible)
        return std::unexpected(fmt::format(
            "max_connections {} needs {} open files, but the limit is {} ({} connections with {} "
            "workers); raise LimitNOFILE or `ulimit -n`, or lower process.max_connections",
            with_commas(configured), with_commas(configured * per_connection + taken),
            with_commas(descriptor_limit), with_commas(possible), needs.workers));
    if (possible == 0)
        return std::unexpected(fmt::format(
            "the limit on open files, {}, leaves none for connections ({} are needed for {} "
            "workers); raise LimitNOFILE or `ulimit -n`, or set fewer process.workers",
            with_commas(descriptor_limit), with_commas(taken), needs.workers));
    if (configured != 0) return ConnectionLimit{configured, "process.max_connections"};
    return ConnectionLimit{possible, cause};
}

std::uint64_t warm_connections(const config::Config& config) noexcept {
    std::uint64_t sum = 0;
    for (const auto& upstream : config.upstreams) {
        const auto [least, most, age] = upstream.pool;
        if (least == 0) continue;
        std::uint64_t here = 0;
        for (const auto& backend : upstream.backends) {
            const std::uint64_t wanted = std::max(least, most);
            here +=
                backend.max_connections == 0 ? wanted : std::min(wanted, backend.max_connections);
        }
        for (const auto& source : upstream.discovery)
            here += std::uint64_t{source.max_backends} * std::max(least, most);
        sum += upstream.max_connections == 0 ? here : std::min(here, upstream.max_connections);
    }
    return sum;
}

std::uint64_t raise_descriptor_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
    if (limit.rlim_cur < limit.rlim_max) {
        rlimit raised{limit.rlim_max, limit.rlim_max};
        if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
    }
    return limit.rlim_cur;
}

std::size_t usable_cores() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (::sched_getaffinity(0, sizeof set, &set) == 0)
        return std::max<std::size_t>(static_cast<std::size_t>(CPU_COUNT(&set)), 1);
    return std::max<std::size_t>(static_cast<std::size_t>(::sysconf(_SC_NPROCESSORS_ONLN)), 1);
}

std::uint64_t usable_memory() {
    const auto machine = machine_memory();
    const auto limit = cgroup_memory_limit();
    return limit == 0 ? machine : std::min(machine, limit);
}

// cgroups(7): `0::/a/b` is the one place in version 2, `7:memory:/a/b` that in version 1. A limit
// of any cgroup around this one counts.
std::uint64_t cgroup_memory_limit(const std::filesystem::path& membership,
                                  const std::filesystem::path& root) {
    std::ifstream file(membership);
    std::uint64_t lowest = 0;
    for (std::string line; std::getline(file, line);) {
        const auto first = line.find(':');
        const auto second = line.find(':', first == std::string::npos ? first : first + 1);
        if (second == std::string::npos) continue;
        const auto controllers = line.substr(first + 1, second - first - 1);
        const bool is_second = controllers.empty();
        if (!is_second && controllers != "memory") continue;
        const auto base = is_second ? root : root / "memory";
        const auto* name = is_second ? "memory.max" : "memory.limit_in_bytes";
        auto inside = std::filesystem::path(line.substr(second + 1)).relative_path();
        while (true) {
            const auto limit = read_limit(base / inside / name);
            if (limit != 0) lowest = lowest == 0 ? limit : std::min(lowest, limit);
            if (inside.empty()) break;
            inside = inside.parent_path();
        }
    }
    return lowest;
}

}  // namespace penstock::app
