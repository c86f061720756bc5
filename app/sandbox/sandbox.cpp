#include "app/sandbox/sandbox.hpp"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "app/runtime_directory.hpp"
#include "app/sandbox/capabilities.hpp"
#include "app/sandbox/every_thread.hpp"
#include "app/sandbox/landlock.hpp"
#include "app/sandbox/seccomp.hpp"
#include "config/interpolate.hpp"

namespace penstock::app::sandbox {

namespace {

bool needs_runtime_directory(const config::Config& config) {
    const auto any = [](const auto& listeners, auto address_of) {
        return std::ranges::any_of(listeners, [&](const auto& listener) {
            return std::ranges::any_of(listener.bind, [&](const auto& bind) {
                return is_below_runtime(address_of(bind));
            });
        });
    };
    return any(config.admin.listeners, [](const Endpoint& of) { return of; }) ||
           any(config.listeners, [](const config::Bind& of) { return of.address; });
}

std::optional<std::string> runtime_directory(const config::Config& config) {
    if (!needs_runtime_directory(config)) return std::nullopt;
    auto chosen = choose_runtime_directory(config::process_environment(), make_runtime_directory);
    if (!chosen) return std::nullopt;
    return *std::move(chosen);
}

// Reading: the file; writing and making sockets: the directory.
bool can_without_capabilities(std::span<const Need> needs, const Disk& disk, bool writing) {
    return std::ranges::all_of(needs, [&](const Need& need) {
        if ((need.rights != read) != writing) return true;
        if (!writing) return capabilities::can_without(need.path, R_OK);
        if ((need.rights & write_files) != 0 && !capabilities::can_without(need.path, W_OK))
            return false;
        if (disk.is_special(need.path) && (need.rights & write_files) != 0) return true;
        const auto real = disk.resolve(need.path);
        const auto slash = real.rfind('/');
        const auto directory = slash == 0 ? std::string("/") : real.substr(0, slash);
        return capabilities::can_without(directory, W_OK | X_OK);
    });
}

// No core with keys in it, and no debugger of the same user.
void keep_memory_private() noexcept {
    const rlimit none{0, 0};
    ::setrlimit(RLIMIT_CORE, &none);
    ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

std::string shown(const Part& part) {
    if (part.name == "capabilities") return part.name + ": " + part.detail;
    return part.detail.empty() ? part.name : fmt::format("{} ({})", part.name, part.detail);
}

}  // namespace

std::expected<void, std::string> possible(config::SandboxMode mode) {
    if (mode == config::SandboxMode::off) return std::unexpected("process.sandbox");
#ifdef PENSTOCK_INSTRUMENTED
    return std::unexpected("this program is built with sanitizers or for coverage");
#else
    return {};
#endif
}

std::expected<Sandbox, std::string> Sandbox::enter(const config::Config& config,
                                                   std::span<const std::string> files,
                                                   std::span<const std::string> patterns) {
    Sandbox sandbox;
    const bool strict = config.process.sandbox == config::SandboxMode::strict;
    if (auto good = possible(config.process.sandbox); !good) {
        if (strict)
            return std::unexpected("process.sandbox = \"strict\" is not possible: " + good.error());
        return sandbox;
    }
    sandbox.mode_ = config.process.sandbox;
    sandbox.disk_ = this_disk(runtime_directory(config));
    sandbox.confine(config, needs_of(config, files, patterns, sandbox.disk_));
    if (const auto missing = sandbox.missing(); strict && !missing.empty())
        return std::unexpected(fmt::format(
            "process.sandbox = \"strict\" is not possible here: {}; \"auto\" goes on without",
            missing.front()));
    return sandbox;
}

// Each part needs the one before it: rules and filters need no_new_privs, and the filter comes
// last, since it forbids what makes the others.
void Sandbox::confine(const config::Config& config, std::span<const Need> needs) {
    keep_memory_private();
    const auto no_new_privs =
        on_every_thread([] { return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? 0 : errno; });
    restrict_files(needs);
    drop_capabilities(config, needs);
    const auto filtered = seccomp::enter(
        mode_ == config::SandboxMode::strict ? seccomp::Refusal::kill : seccomp::Refusal::error);
    // The filter brings no_new_privs to all threads as well.
    const bool privileged = !no_new_privs && !filtered;
    parts_.insert(parts_.begin() + 1,
                  {"no_new_privs", !privileged, privileged ? no_new_privs.error() : ""});
    parts_.insert(parts_.begin(),
                  {"seccomp", filtered.has_value(), filtered ? std::string() : filtered.error()});
}

void Sandbox::restrict_files(std::span<const Need> needs) {
    const bool strict = mode_ == config::SandboxMode::strict;
    const auto add = [this](bool on, std::string detail) {
        parts_.push_back({"landlock", on, std::move(detail)});
    };
    const int abi = landlock::abi();
    if (abi == 0)
        return add(false,
                   "this kernel does not have it (5.13 or newer, and `lsm=` with landlock), "
                   "or what this process runs in does not allow it");
    const auto wanted = rules_of(needs, disk_, strict);
    auto set = landlock::prepare(wanted, abi, strict);
    if (!set) return add(false, set.error());
    const auto done = on_every_thread([fd = set->fd.get()] { return landlock::restrict_self(fd); });
    if (!done) return add(false, done.error());
    rules_ = std::move(set->rules);
    pins_ = std::move(set->pins);
    confines_files_ = true;
    add(true, fmt::format("ABI {}", abi));
}

void Sandbox::drop_capabilities(const config::Config& config, std::span<const Need> needs) {
    const auto has = capabilities::effective();
    const bool any_group = std::ranges::any_of(
        config.admin.listeners, [](const auto& of) { return !of.socket_group.empty(); });
    const auto kept = capabilities::to_keep(
        {.effective = has,
         .gives_sockets_away = any_group,
         .reads_others_files = has != 0 && !can_without_capabilities(needs, disk_, false),
         .writes_others_files = has != 0 && !can_without_capabilities(needs, disk_, true)});
    const auto done = on_every_thread([kept] { return capabilities::drop_all_but(kept); });
    parts_.push_back(
        {"capabilities", done.has_value(), done ? capabilities::names_of(kept) : done.error()});
}

std::string_view Sandbox::mode_name() const noexcept {
    switch (mode_) {
        case config::SandboxMode::automatic: return "auto";
        case config::SandboxMode::strict: return "strict";
        case config::SandboxMode::off: break;
    }
    return "off";
}

std::string Sandbox::summary() const {
    if (parts_.empty()) return "off";
    std::string text;
    for (const auto& part : parts_)
        if (part.on) text += (text.empty() ? "" : ", ") + shown(part);
    return text.empty() ? "nothing" : text;
}

std::vector<std::string> Sandbox::missing() const {
    std::vector<std::string> sentences;
    for (const auto& part : parts_)
        if (!part.on) sentences.push_back(fmt::format("no {}: {}", part.name, part.detail));
    return sentences;
}

std::vector<std::string> Sandbox::beyond(const config::Config& config,
                                         std::span<const std::string> files,
                                         std::span<const std::string> patterns) const {
    if (!confines_files_) return {};
    return sandbox::beyond(needs_of(config, files, patterns, disk_), rules_, disk_,
                           mode_ == config::SandboxMode::strict);
}

}  // namespace penstock::app::sandbox
