#include "app/upgrade/program.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include <fmt/format.h>
#include <unistd.h>

#include "base/error.hpp"

extern char** environ;  // POSIX leaves its declaration to the program

namespace penstock::app::upgrade {

namespace fs = std::filesystem;

namespace {

bool is_program(const std::string& file) {
    std::error_code ignored;
    return fs::is_regular_file(file, ignored) && ::access(file.c_str(), X_OK) == 0;
}

std::string joined(const std::string& directory, const std::string& name) {
    return directory.ends_with('/') ? directory + name : directory + "/" + name;
}

std::string from_directory(const std::string& directory, const std::string& name) {
    return name.starts_with('/') ? name : joined(directory, name);
}

}  // namespace

std::string resolve_program(const std::string& name, const Surroundings& around) {
    if (name.contains('/')) {
        auto file = from_directory(around.directory, name);
        return around.is_program(file) ? file : around.self;
    }
    std::string_view rest = around.path ? std::string_view(*around.path) : "/bin:/usr/bin";
    while (!name.empty()) {
        const auto colon = rest.find(':');
        // An empty part is the current directory.
        const std::string part(rest.substr(0, colon));
        auto file = joined(from_directory(around.directory, part), name);
        if (around.is_program(file)) return file;
        if (colon == std::string_view::npos) break;
        rest.remove_prefix(colon + 1);
    }
    return around.self;
}

Program own_program(int argc, const char* const* argv) {
    std::error_code ignored;
    const char* path = std::getenv("PATH");
    const Surroundings around{
        .path = path == nullptr ? std::nullopt : std::optional<std::string>(path),
        .directory = fs::current_path(ignored).string(),
        .self = fs::read_symlink("/proc/self/exe", ignored).string(),
        .is_program = is_program};
    Program program{.arguments = {argv, argv + argc}};
    program.file = resolve_program(argc > 0 ? program.arguments.front() : "", around);
    for (char** entry = environ; *entry != nullptr; ++entry)
        program.environment.emplace_back(*entry);
    return program;
}

std::vector<std::string> successor_environment(const std::vector<std::string>& original,
                                               int channel) {
    // The sockets of a service manager come by the channel, like all others.
    static constexpr std::array own{
        channel_variable, std::string_view("LISTEN_PID"), std::string_view("LISTEN_FDS"),
        std::string_view("LISTEN_FDNAMES"), std::string_view("LISTEN_PIDFDID")};
    std::vector<std::string> environment;
    for (const auto& entry : original)
        if (std::ranges::find(own, std::string_view(entry).substr(0, entry.find('='))) == own.end())
            environment.push_back(entry);
    environment.push_back(fmt::format("{}={}", channel_variable, channel));
    return environment;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
    std::vector<char*> result;
    for (auto& text : strings) result.push_back(text.data());
    result.push_back(nullptr);
    return result;
}

std::expected<void, std::string> check_replaceable(pid_t self) {
    if (self == 1)
        return std::unexpected(
            "this is process 1 of a container: when it ends, so does everything in it, the new "
            "process included; start a new container instead");
    return {};
}

std::expected<void, std::string> check_upgradable(const Program& program, pid_t self) {
    if (auto possible = check_replaceable(self); !possible) return possible;
    if (::access(program.file.c_str(), X_OK) != 0)
        return std::unexpected(fmt::format("{}: {}; the new program has to be there", program.file,
                                           last_error().message()));
    return {};
}

}  // namespace penstock::app::upgrade
