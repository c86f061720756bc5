#pragma once

#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "app/sandbox/capabilities.hpp"
#include "app/sandbox/rules.hpp"
#include "config/config.hpp"
#include "net/unique_fd.hpp"

/// What the process denies itself once it has started: what an attacker who got hold of it could
/// not do either. docs/operations.md tells operators about it.
namespace penstock::app::sandbox {

/// One measure, and whether it is in force.
struct Part {
    std::string name;  // seccomp | landlock | no_new_privs | capabilities
    bool on = false;
    std::string detail;  // `ABI 7`, `none`; why it is not
};

/// Whether a process with this mode is to be confined at all; the error says why it is not, for
/// a log. Programs that are instrumented do what no filter foresees.
[[nodiscard]] std::expected<void, std::string> possible(config::SandboxMode mode);

class Sandbox {
public:
    /// None: nothing is denied.
    Sandbox() = default;
    /// Confines the process, all its threads and those to come, for good. `files` and `patterns`:
    /// of the configuration. Sockets are open, the user is switched. The one thread that makes
    /// others; nothing else runs in it. The error is for the user: `strict` alone fails.
    [[nodiscard]] static std::expected<Sandbox, std::string> enter(
        const config::Config& config, std::span<const std::string> files,
        std::span<const std::string> patterns);

    /// The word for what is in force: `auto`, `off`, `strict`.
    [[nodiscard]] std::string_view mode_name() const noexcept;
    [[nodiscard]] const std::vector<Part>& parts() const noexcept { return parts_; }
    /// `seccomp, landlock (ABI 7), no_new_privs, capabilities: none`.
    [[nodiscard]] std::string summary() const;
    /// A sentence for each part that should be in force and is not.
    [[nodiscard]] std::vector<std::string> missing() const;
    /// What of another configuration the process could not read or write any more, a sentence
    /// each. Any thread.
    [[nodiscard]] std::vector<std::string> beyond(const config::Config& config,
                                                  std::span<const std::string> files,
                                                  std::span<const std::string> patterns) const;

    /// A sentence for each log of the configuration in force whose directory has been replaced
    /// since the start: it cannot be opened again.
    [[nodiscard]] std::vector<std::string> lost_logs(const config::Config& config) const;

private:
    void confine(const config::Config& config);
    void drop_capabilities(const config::Config& config);
    void restrict_files();

    config::SandboxMode mode_ = config::SandboxMode::off;
    std::vector<Part> parts_;
    Disk disk_;
    std::vector<Rule> rules_;  // of Landlock, where it is on
    std::vector<net::UniqueFd> pins_;  // landlock::Ruleset
    bool confines_files_ = false;
    std::vector<Need> needs_;  // those that it was started with
    capabilities::Set dropped_ = 0;  // that it had
};

}  // namespace penstock::app::sandbox
