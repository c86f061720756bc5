#include "app/runtime_directory.hpp"

#include <cerrno>
#include <optional>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.hpp"

namespace penstock::app {

namespace {

constexpr std::string_view system_directory = "/run/penstock";

std::optional<std::string> absolute_variable(const config::Environment& environment,
                                             std::string_view name) {
    auto value = environment(name);
    if (!value || !value->starts_with('/')) return std::nullopt;
    return value;
}

std::optional<std::string> service_directory(const config::Environment& environment) {
    auto directories = absolute_variable(environment, "RUNTIME_DIRECTORY");
    if (!directories) return std::nullopt;
    return directories->substr(0, directories->find(':'));
}

}  // namespace

std::vector<std::string> runtime_candidates(const config::Environment& environment) {
    std::vector<std::string> candidates;
    if (auto service = service_directory(environment)) candidates.push_back(*std::move(service));
    candidates.emplace_back(system_directory);
    if (const auto user = absolute_variable(environment, "XDG_RUNTIME_DIR"))
        candidates.push_back(*user + "/penstock");
    return candidates;
}

std::expected<std::string, std::string> choose_runtime_directory(
    const config::Environment& environment, const MakeDirectory& make) {
    auto candidates = runtime_candidates(environment);
    const bool is_decided = service_directory(environment).has_value();
    if (is_decided) candidates.resize(1);
    std::string problems;
    for (auto& candidate : candidates) {
        const auto made = make(candidate);
        if (made) return std::move(candidate);
        problems += fmt::format("{}{}: {}", problems.empty() ? "" : "; ", candidate, made.error());
    }
    return std::unexpected(fmt::format(
        "there is no directory for sockets ({}); {}", problems,
        is_decided ? "RUNTIME_DIRECTORY of the environment has to name a directory that can be "
                     "written to"
                   : "set RUNTIME_DIRECTORY to a directory of this process, as systemd's "
                     "RuntimeDirectory=penstock does"));
}

std::expected<void, std::string> make_runtime_directory(const std::string& path) {
    constexpr mode_t mode = 0755;
    const int failed = ::mkdir(path.c_str(), mode) == 0 ? 0 : errno;
    if (failed == 0) return {};
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0)
        return std::unexpected(std::error_code(failed, std::generic_category()).message());
    return check_runtime_directory(path);
}

std::expected<void, std::string> check_runtime_directory(const std::string& path) {
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0) return std::unexpected(last_error().message());
    if (!S_ISDIR(status.st_mode)) return std::unexpected("is no directory");
    if (::faccessat(AT_FDCWD, path.c_str(), W_OK | X_OK, AT_EACCESS) != 0)
        return std::unexpected(fmt::format("user {} cannot create files in it: {}", ::geteuid(),
                                           last_error().message()));
    return {};
}

bool is_below_runtime(const Endpoint& endpoint) {
    // Every other path of a configuration is absolute.
    return endpoint.is_unix() && !endpoint.is_abstract() &&
           endpoint.path().starts_with(runtime_variable);
}

std::expected<Endpoint, std::string> in_runtime_directory(const Endpoint& endpoint,
                                                          const std::string& directory) {
    if (!is_below_runtime(endpoint)) return endpoint;
    const auto path = directory + endpoint.path().substr(runtime_variable.size());
    auto found = Endpoint::parse("unix:" + path);
    if (!found) return std::unexpected(fmt::format("{}: {}", path, found.error()));
    return found;
}

}  // namespace penstock::app
