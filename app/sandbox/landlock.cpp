#include "app/sandbox/landlock.hpp"

#include <cerrno>
#include <cstdint>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.hpp"

namespace penstock::app::sandbox::landlock {

namespace {

// The same on every architecture.
constexpr long create_ruleset = 444;
constexpr long add_rule = 445;
constexpr long restrict_self_call = 446;

constexpr unsigned flag_version = 1;
constexpr int rule_path_beneath = 1;

enum Access : std::uint64_t {
    execute = 1U << 0U,
    write_file = 1U << 1U,
    read_file = 1U << 2U,
    read_dir = 1U << 3U,
    remove_dir = 1U << 4U,
    remove_file = 1U << 5U,
    make_char = 1U << 6U,
    make_dir = 1U << 7U,
    make_reg = 1U << 8U,
    make_sock = 1U << 9U,
    make_fifo = 1U << 10U,
    make_block = 1U << 11U,
    make_sym = 1U << 12U,
    refer = 1U << 13U,      // ABI 2
    truncate = 1U << 14U,   // ABI 3
    ioctl_dev = 1U << 15U,  // ABI 5
};

struct RulesetAttributes {
    std::uint64_t handled_access_fs;
};
struct PathBeneath {
    std::uint64_t allowed_access;
    std::int32_t parent_fd;
} __attribute__((packed));

}  // namespace

int abi() noexcept {
    const long version = ::syscall(create_ruleset, nullptr, 0, flag_version);
    return version < 0 ? 0 : static_cast<int>(version);
}

std::uint64_t handled(int abi, bool confines_reading) noexcept {
    std::uint64_t all = execute | write_file | remove_dir | remove_file | make_char | make_dir |
                        make_reg | make_sock | make_fifo | make_block | make_sym;
    if (abi >= 2) all |= refer;
    if (abi >= 3) all |= truncate;
    if (abi >= 5) all |= ioctl_dev;
    if (confines_reading) all |= read_file | read_dir;
    return all;
}

std::uint64_t access_of(Rights rights, bool is_directory, int abi) noexcept {
    std::uint64_t access = 0;
    if ((rights & read) != 0) access |= is_directory ? read_file | read_dir : read_file;
    if ((rights & write_files) != 0) access |= is_directory ? write_file | make_reg : write_file;
    if ((rights & write_files) != 0 && !is_directory && abi >= 5) access |= ioctl_dev;
    if ((rights & make_sockets) != 0 && is_directory) access |= make_sock | remove_file;
    return access;
}

std::expected<Ruleset, std::string> prepare(std::span<const Rule> rules, int abi,
                                            bool confines_reading) {
    const RulesetAttributes attributes{handled(abi, confines_reading)};
    Ruleset set{net::UniqueFd(
                    static_cast<int>(::syscall(create_ruleset, &attributes, sizeof attributes, 0))),
                {},
                {}};
    if (!set.fd) return std::unexpected("cannot make its rules: " + last_error().message());
    for (const auto& rule : rules) {
        net::UniqueFd place(::open(rule.path.c_str(), O_PATH | O_CLOEXEC));
        struct stat status{};
        if (!place || ::fstat(place.get(), &status) != 0) continue;
        const auto access =
            access_of(rule.rights, S_ISDIR(status.st_mode), abi) & attributes.handled_access_fs;
        if (access == 0) continue;
        const PathBeneath beneath{access, place.get()};
        // A pipe or socket, such as /dev/stderr leads to in a container: it belongs to no file
        // system that rules could be about, and whoever has it may open it.
        if (::syscall(add_rule, set.fd.get(), rule_path_beneath, &beneath, 0) != 0 &&
            errno != EBADFD)
            return std::unexpected(
                fmt::format("cannot allow {}: {}", rule.path, last_error().message()));
        set.rules.push_back({rule.path, rule.rights, Identity{status.st_dev, status.st_ino}});
        if (rule.path.starts_with("/proc/")) set.pins.push_back(std::move(place));
    }
    return set;
}

int restrict_self(int ruleset) noexcept {
    return ::syscall(restrict_self_call, ruleset, 0) == 0 ? 0 : errno;
}

}  // namespace penstock::app::sandbox::landlock
