#include "app/sandbox/sandbox.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "app/runtime_directory.hpp"
#include "app/sandbox/access.hpp"
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

// One that is not needed yet is not made: a configuration that needs it later goes beyond then.
std::optional<std::string> runtime_directory(const config::Config& config) {
    const auto environment = config::process_environment();
    const bool needed = needs_runtime_directory(config);
    auto chosen = choose_runtime_directory(
        environment, needed ? make_runtime_directory : check_runtime_directory);
    if (chosen) return *std::move(chosen);
    if (needed) return std::nullopt;
    return runtime_candidates(environment).front();
}

bool can_without_capabilities(std::span<const Need> needs, const Disk& disk, bool writing) {
    return std::ranges::all_of(needs, [&](const Need& need) {
        return (need.rights != read) != writing || is_met(need, disk, capabilities::can_without);
    });
}

bool is_member(const std::string& name) {
    std::array<char, 4096> memory;
    ::group entry{};
    ::group* found = nullptr;
    ::getgrnam_r(name.c_str(), &entry, memory.data(), memory.size(), &found);
    if (found == nullptr || found->gr_gid == ::getegid()) return true;
    std::vector<gid_t> groups(static_cast<std::size_t>(std::max(::getgroups(0, nullptr), 0)));
    const int count = ::getgroups(static_cast<int>(groups.size()), groups.data());
    return std::ranges::find(groups.begin(), groups.begin() + std::max(count, 0), found->gr_gid) !=
           groups.begin() + std::max(count, 0);
}

// PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN: the headers of a system may be older than its kernel.
constexpr int set_mdwe = 65;
constexpr unsigned long refuse_exec_gain = 1;

// No core with keys in it, no debugger of the same user, and no code that was data before.
void keep_memory_private() noexcept {
    const rlimit none{0, 0};
    ::setrlimit(RLIMIT_CORE, &none);
    ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    // Known to Linux 6.3 and newer.
    ::prctl(set_mdwe, refuse_exec_gain, 0, 0, 0);
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
    sandbox.needs_ = needs_of(config, files, patterns, sandbox.disk_);
    sandbox.confine(config);
    if (const auto missing = sandbox.missing(); strict && !missing.empty())
        return std::unexpected(fmt::format(
            "process.sandbox = \"strict\" is not possible here: {}; \"auto\" goes on without",
            missing.front()));
    return sandbox;
}

// Each part needs the one before it: rules and filters need no_new_privs, and the filter comes
// last, since it forbids what makes the others.
void Sandbox::confine(const config::Config& config) {
    keep_memory_private();
    const auto no_new_privs =
        on_every_thread([] { return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? 0 : errno; });
    restrict_files();
    drop_capabilities(config);
    const auto filtered = seccomp::enter(
        mode_ == config::SandboxMode::strict ? seccomp::Refusal::kill : seccomp::Refusal::error);
    // The filter brings no_new_privs to all threads as well.
    const bool privileged = !no_new_privs && !filtered;
    parts_.insert(parts_.begin() + 1,
                  {"no_new_privs", !privileged, privileged ? no_new_privs.error().why : ""});
    parts_.insert(parts_.begin(),
                  {"seccomp", filtered.has_value(), filtered ? std::string() : filtered.error()});
}

void Sandbox::restrict_files() {
    const bool strict = mode_ == config::SandboxMode::strict;
    const auto add = [this](bool on, std::string detail) {
        parts_.push_back({"landlock", on, std::move(detail)});
    };
    const int abi = landlock::abi();
    if (abi == 0)
        return add(false,
                   "this kernel does not have it (5.13 or newer, and `lsm=` with landlock), "
                   "or what this process runs in does not allow it");
    const auto wanted = rules_of(needs_, disk_, strict);
    auto set = landlock::prepare(wanted, abi, strict);
    if (!set) return add(false, set.error());
    const auto done = on_every_thread([fd = set->fd.get()] { return landlock::restrict_self(fd); });
    if (!done && done.error().threads == 0) return add(false, done.error().why);
    // Also where some threads are confined: nobody knows which will do the work.
    rules_ = std::move(set->rules);
    pins_ = std::move(set->pins);
    confines_files_ = true;
    if (!done)
        return add(false, fmt::format("only {} threads of this process are confined: {}",
                                      done.error().threads, done.error().why));
    add(true, fmt::format("ABI {}", abi));
}

void Sandbox::drop_capabilities(const config::Config& config) {
    const auto has = capabilities::effective();
    const bool any_group = std::ranges::any_of(
        config.admin.listeners, [](const auto& of) { return !of.socket_group.empty(); });
    const auto kept = capabilities::to_keep(
        {.effective = has,
         .gives_sockets_away = any_group,
         .reads_others_files = has != 0 && !can_without_capabilities(needs_, disk_, false),
         .writes_others_files = has != 0 && !can_without_capabilities(needs_, disk_, true)});
    const auto done = on_every_thread([kept] { return capabilities::drop_all_but(kept); });
    dropped_ = has & ~capabilities::effective();
    parts_.push_back(
        {"capabilities", done.has_value(), done ? capabilities::names_of(kept) : done.error().why});
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
    if (parts_.empty()) return {};
    const auto needs = needs_of(config, files, patterns, disk_);
    std::vector<std::string> sentences;
    if (confines_files_)
        sentences = sandbox::beyond(needs, rules_, disk_, mode_ == config::SandboxMode::strict);
    std::ranges::move(beyond_capabilities(needs, needs_, disk_, dropped_, capabilities::can),
                      std::back_inserter(sentences));
    std::ranges::move(beyond_groups(config, dropped_, is_member), std::back_inserter(sentences));
    return sentences;
}

std::vector<std::string> Sandbox::lost_logs(const config::Config& config) const {
    if (!confines_files_) return {};
    auto needs = needs_of(config, {}, {}, disk_);
    std::erase_if(needs, [](const Need& need) { return (need.rights & write_files) == 0; });
    return sandbox::beyond(needs, rules_, disk_, false);
}

}  // namespace penstock::app::sandbox
