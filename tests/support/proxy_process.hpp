#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/access_log.hpp"
#include "tests/support/admin_client.hpp"
#include "tests/support/adopted_process.hpp"
#include "tests/support/child_process.hpp"
#include "tests/support/config_text.hpp"
#include "tests/support/socket.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::test {

struct ProxyOptions {
    std::vector<std::string> wrapper{};  // words before the binary, e.g. {"prlimit", "--nofile=64"}
    SpawnOptions spawn{};
    std::filesystem::path directory{};  // empty: a private one of its own
    std::string binary{};  // empty: penstock_binary()
    bool wait_ready = true;  // throws when "ready" does not come
    /// At the end the counters are compared with the access log. Off where a test makes one of
    /// both impossible.
    bool check_counters = true;
};

/// The program under test, driven through its contract alone: arguments, configuration file,
/// standard output, signals, access log, exit status. Each has a private directory (@DIR@ in the
/// configuration).
///
/// After an upgrade it is the newest process that is driven; those before it are remembered.
///
/// The destructor stops it with TERM, the old processes first, and fails the running test if an
/// exit was not clean, if a sanitizer reported something, or if it had died before.
class ProxyProcess {
public:
    explicit ProxyProcess(const std::string& toml, ProxyOptions options = {});
    explicit ProxyProcess(const ConfigText& config, ProxyOptions options = {});
    ProxyProcess(const ProxyProcess&) = delete;
    ProxyProcess& operator=(const ProxyProcess&) = delete;
    ~ProxyProcess();

    /// Where the listener really listens (the n-th line of that name, bind lists have several).
    [[nodiscard]] Address address(const std::string& listener = "in", std::size_t index = 0) const;
    /// Where it listens by what the API says now: for listeners that came with a reload.
    [[nodiscard]] std::vector<Address> addresses_now(const std::string& listener) const;
    [[nodiscard]] pid_t pid() const { return heirs_.empty() ? child_->pid() : heirs_.back().pid(); }
    [[nodiscard]] bool running() const;
    /// The process that the test has started itself.
    [[nodiscard]] ChildProcess& child() { return *child_; }
    [[nodiscard]] const std::filesystem::path& directory() const { return directory_; }
    [[nodiscard]] const AccessLogReader& access_log() const { return access_log_; }
    [[nodiscard]] std::string errors() const { return child_->errors(); }
    /// Waits until it has written that text to its log: an answer or a signal's effect may be seen
    /// before the line about it.
    [[nodiscard]] bool says(std::string_view text, milliseconds limit = patience) const;
    /// The admin API, on the unix socket in the private directory.
    [[nodiscard]] AdminClient admin() const;
    void signal(int number) const;

    // ---- Changes
    [[nodiscard]] std::filesystem::path config_file() const { return directory_ / "penstock.toml"; }
    /// Puts another text in the place of the configuration, by rename, as editors do.
    void rewrite(const std::string& toml);
    void rewrite(const ConfigText& config) { rewrite(config.toml()); }
    /// HUP, and waits until that reload is over, which its counters tell: true = applied, false =
    /// refused. Fails the test when neither comes.
    bool reload(milliseconds limit = patience);
    /// rewrite() and reload().
    bool change_to(const ConfigText& config, milliseconds limit = patience);
    /// USR2, and waits until another process serves, which is followed then. False, and a failure
    /// of the test, when none does.
    bool upgrade(milliseconds limit = patience);
    /// From now on this is the process that is driven: one that the present one has started.
    void follow_upgrade(pid_t pid);
    /// Those that have been driven before, the oldest first, and whether one still runs.
    [[nodiscard]] std::vector<pid_t> old_pids() const;
    [[nodiscard]] std::size_t old_running() const;
    /// Makes sure that nothing of what it starts outlives the test. Part of upgrade(); for tests
    /// that upgrade in another way.
    void guard_group();

    /// TERM, then the exit status; fails the test unless it is 0 within `limit` and nothing was
    /// reported. Safe to call twice.
    void stop(milliseconds limit = patience);
    /// For ends that a test causes itself: waits, checks for sanitizer reports, and returns the
    /// wait status; afterwards the destructor demands nothing.
    std::optional<int> wait_exit(milliseconds limit = patience);
    /// SIGKILL, as a crash would.
    void kill();

    // ---- What the kernel says about it
    [[nodiscard]] std::size_t descriptors() const;
    [[nodiscard]] std::size_t threads() const;
    [[nodiscard]] std::uint64_t private_memory() const;
    /// CPU time used during the next `span`, per second of it.
    [[nodiscard]] milliseconds cpu_per_second(milliseconds span = 1000ms) const;
    /// I4: waits until exactly `count` descriptors are open; false when the time was over.
    [[nodiscard]] bool descriptors_return_to(std::size_t count,
                                             milliseconds limit = patience) const;

private:
    void start(const std::string& toml);
    void wait_until_settled() const;
    void check_reports() const;
    [[nodiscard]] double reloads(const char* result) const;
    void stop_old(milliseconds limit);
    bool expect_clean_exit(const std::optional<int>& status) const;
    /// The counters of the running proxy; nothing where they cannot be compared.
    [[nodiscard]] std::optional<MetricsPage> last_counters() const;
    void check_counters(const MetricsPage& page) const;
    [[nodiscard]] bool logs_every_end() const;

    TempDir own_directory_;
    ProxyOptions options_;
    std::filesystem::path directory_;
    std::string toml_;
    AccessLogReader access_log_;
    std::unique_ptr<ChildProcess> child_;
    std::unique_ptr<GroupGuard> guard_;
    std::vector<AdoptedProcess> heirs_;  // by upgrades, the newest last
    bool ended_ = false;
};

/// The binary under test: PENSTOCK_BINARY of the environment, else the one this build made.
[[nodiscard]] std::string penstock_binary();

/// What a command that ends by itself did.
struct Finished {
    int exit_status = -1;  // -1: killed by a signal, -2: did not end
    std::string output;
    std::string errors;
};
[[nodiscard]] Finished run_penstock(const std::vector<std::string>& arguments,
                                    milliseconds limit = patience,
                                    const std::vector<std::string>& wrapper = {});

/// Text of a sanitizer's report in `text`, empty if there is none.
[[nodiscard]] std::string sanitizer_report_in(const std::string& text);

}  // namespace penstock::test
