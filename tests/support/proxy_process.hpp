#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/access_log.hpp"
#include "tests/support/admin_client.hpp"
#include "tests/support/child_process.hpp"
#include "tests/support/config_text.hpp"
#include "tests/support/socket.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::test {

struct ProxyOptions {
    std::vector<std::string> wrapper{};  // words before the binary, e.g. {"prlimit", "--nofile=64"}
    SpawnOptions spawn{};
    std::filesystem::path directory{};  // empty: a private one of its own
    bool wait_ready = true;  // throws when "ready" does not come
    /// At the end the counters are compared with the access log. Off where a test makes one of
    /// both impossible.
    bool check_counters = true;
};

/// The program under test, driven through its contract alone: arguments, configuration file,
/// standard output, signals, access log, exit status. Each has a private directory (@DIR@ in the
/// configuration).
///
/// The destructor stops it with TERM and fails the running test if the exit was not clean, if a
/// sanitizer reported something, or if it had died before.
class ProxyProcess {
public:
    explicit ProxyProcess(const std::string& toml, ProxyOptions options = {});
    explicit ProxyProcess(const ConfigText& config, ProxyOptions options = {});
    ProxyProcess(const ProxyProcess&) = delete;
    ProxyProcess& operator=(const ProxyProcess&) = delete;
    ~ProxyProcess();

    /// Where the listener really listens (the n-th line of that name, bind lists have several).
    [[nodiscard]] Address address(const std::string& listener = "in", std::size_t index = 0) const;
    [[nodiscard]] pid_t pid() const { return child_->pid(); }
    [[nodiscard]] ChildProcess& child() { return *child_; }
    [[nodiscard]] const std::filesystem::path& directory() const { return directory_; }
    [[nodiscard]] const AccessLogReader& access_log() const { return access_log_; }
    [[nodiscard]] std::string errors() const { return child_->errors(); }
    /// The admin API, on the unix socket in the private directory.
    [[nodiscard]] AdminClient admin() const;
    void signal(int number) const { child_->signal(number); }

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
