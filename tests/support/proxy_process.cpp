#include "tests/support/proxy_process.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "tests/support/counter_check.hpp"
#include "tests/support/process_stats.hpp"

namespace penstock::test {

namespace {

std::string with_directory(std::string text, const std::filesystem::path& directory) {
    static constexpr std::string_view mark = "@DIR@";
    for (auto at = text.find(mark); at != std::string::npos; at = text.find(mark, at))
        text.replace(at, mark.size(), directory.string());
    return text;
}

// PENSTOCK_TEST_SANDBOX of the environment, where a test has no wish of its own: the whole test
// runs with that sandbox then.
std::string with_sandbox(std::string text) {
    const char* mode = std::getenv("PENSTOCK_TEST_SANDBOX");
    if (mode == nullptr || text.contains("sandbox = ")) return text;
    const std::string key = "sandbox = \"" + std::string(mode) + "\"\n";
    static constexpr std::string_view table = "[process]\n";
    const auto at = text.find(table);
    if (at == std::string::npos) return text + "\n" + std::string(table) + key;
    return text.insert(at + table.size(), key);
}

std::string status_text(const std::optional<int>& status) {
    if (!status) return "did not end";
    if (WIFSIGNALED(*status)) return "died of signal " + std::to_string(WTERMSIG(*status));
    return "exit status " + std::to_string(WEXITSTATUS(*status));
}

}  // namespace

std::string penstock_binary() {
    if (const char* path = std::getenv("PENSTOCK_BINARY")) return path;
#ifdef PENSTOCK_BINARY_PATH
    return PENSTOCK_BINARY_PATH;
#else
    throw std::runtime_error("PENSTOCK_BINARY is not set: no program to test");
#endif
}

std::string sanitizer_report_in(const std::string& text) {
    static constexpr std::array<std::string_view, 6> marks{
        "ERROR: AddressSanitizer", "ERROR: LeakSanitizer",          "WARNING: ThreadSanitizer",
        "runtime error:",          "AddressSanitizer:DEADLYSIGNAL", "LeakSanitizer: detected"};
    for (const std::string_view mark : marks)
        if (const auto at = text.find(mark); at != std::string::npos) return text.substr(at, 6000);
    return {};
}

ProxyProcess::ProxyProcess(const ConfigText& config, ProxyOptions options)
    : ProxyProcess(config.toml(), std::move(options)) {}

ProxyProcess::ProxyProcess(const std::string& toml, ProxyOptions options)
    : options_(std::move(options)),
      directory_(options_.directory.empty() ? own_directory_.path() : options_.directory),
      access_log_(directory_ / "access.log") {
    start(toml);
}

void ProxyProcess::start(const std::string& toml) {
    const auto file = directory_ / "penstock.toml";
    std::ofstream(file) << with_directory(with_sandbox(toml), directory_);
    std::vector<std::string> argv = options_.wrapper;
    const std::string binary = options_.binary.empty() ? penstock_binary() : options_.binary;
    argv.insert(argv.end(), {binary, "run", "-c", file.string()});
    toml_ = toml;
    SpawnOptions spawn = options_.spawn;
    spawn.own_group = !spawn.new_session;
    become_subreaper();  // whoever comes by an upgrade must be ours once its parent has ended
    spawn.environment.emplace("RUNTIME_DIRECTORY", directory_.string());
    child_ = std::make_unique<ChildProcess>(argv, spawn);
    if (!options_.wait_ready) return;
    const auto is_ready = [this] {
        const std::string output = child_->output();
        return output.starts_with("ready\n") || output.find("\nready\n") != std::string::npos;
    };
    wait_for([&] { return is_ready() || !child_->running(); });
    if (is_ready()) return wait_until_settled();
    const auto status = child_->wait_exit(0ms);
    ended_ = true;
    throw std::runtime_error("penstock did not become ready: " + status_text(status) + "\n" +
                             child_->output() + child_->errors());
}

// A thread that has just started may have a file of /proc open for a moment, with sanitizers above
// all: whoever takes the number of descriptors as a baseline must not count that.
void ProxyProcess::wait_until_settled() const {
    std::size_t before = 0;
    int same = 0;
    wait_for([&] {
        const std::size_t now = descriptors();
        same = now == before ? same + 1 : 0;
        before = now;
        return same == 5;
    });
}

ProxyProcess::~ProxyProcess() { stop(); }

Address ProxyProcess::address(const std::string& listener, std::size_t index) const {
    std::istringstream lines(child_->output());
    for (std::string line; std::getline(lines, line);) {
        const std::string head = "listening " + listener + " ";
        if (line.starts_with(head) && index-- == 0) return Address::parse(line.substr(head.size()));
    }
    throw std::runtime_error("no line 'listening " + listener + "' in: " + child_->output());
}

void ProxyProcess::check_reports() const {
    const std::string report = sanitizer_report_in(child_->errors());
    if (!report.empty()) ADD_FAILURE() << "sanitizer report of penstock:\n" << report;
}

bool ProxyProcess::expect_clean_exit(const std::optional<int>& status) const {
    if (status && WIFEXITED(*status) && WEXITSTATUS(*status) == 0) return true;
    ADD_FAILURE() << "penstock after TERM: " << status_text(status) << "\n" << child_->errors();
    return false;
}

void ProxyProcess::stop(milliseconds limit) {
    if (std::exchange(ended_, true)) return;
    if (!heirs_.empty()) stop_old(limit);
    std::optional<MetricsPage> counters;
    if (running()) {
        counters = last_counters();
        signal(SIGTERM);
    } else {
        ADD_FAILURE() << "penstock had ended before it was stopped";
    }
    const bool clean = expect_clean_exit(heirs_.empty() ? child_->wait_exit(limit)
                                                        : heirs_.back().wait_exit(limit).status);
    child_->wait_exit(0ms);  // collects the rest of the output, also what the heirs wrote
    check_reports();
    if (clean && counters) check_counters(*counters);
}

/// The oldest first: the next one is this process's own child then, and tells how it ended. Each
/// tells the newest what it has counted before it goes.
void ProxyProcess::stop_old(milliseconds limit) {
    child_->signal(SIGTERM);
    for (std::size_t i = 0; i + 1 < heirs_.size(); ++i) heirs_[i].signal(SIGTERM);
    const bool first_ended = wait_for([&] { return !child_->running(); }, limit);
    expect_clean_exit(first_ended ? child_->status() : std::nullopt);
    for (std::size_t i = 0; i + 1 < heirs_.size(); ++i) {
        const auto end = heirs_[i].wait_exit(limit);
        // Where its parent has lived longer it alone knows how it ended.
        if (!end.ended || end.status) expect_clean_exit(end.status);
    }
    if (!running()) return;
    const bool known = wait_for(
        [&] {
            const HttpAnswer answer = admin().get("/api/v1/status");
            if (answer.status != 200) return false;
            const auto status = boost::json::parse(answer.body);
            const auto* old = status.as_object().if_contains("old_processes");
            return old == nullptr || old->as_array().empty();
        },
        limit);
    if (!known) ADD_FAILURE() << "old processes have ended, and status still lists them";
}

bool ProxyProcess::says(std::string_view text, milliseconds limit) const {
    return wait_for([&] { return errors().contains(text); }, limit);
}

bool ProxyProcess::running() const {
    return heirs_.empty() ? child_->running() : heirs_.back().running();
}

void ProxyProcess::signal(int number) const {
    if (heirs_.empty()) return child_->signal(number);
    heirs_.back().signal(number);
}

void ProxyProcess::rewrite(const std::string& toml) {
    const auto next = directory_ / ".penstock.toml.next";
    std::ofstream(next) << with_directory(with_sandbox(toml), directory_);
    std::filesystem::rename(next, config_file());
    toml_ = toml;
}

double ProxyProcess::reloads(const char* result) const {
    const HttpAnswer answer = admin().get("/metrics");
    if (answer.status != 200) return -1;
    return MetricsPage(answer.body)
        .sum("penstock_config_reloads_total", {std::string("result=\"") + result + "\""});
}

bool ProxyProcess::reload(milliseconds limit) {
    const double succeeded = reloads("success");
    const double failed = reloads("failure");
    EXPECT_TRUE(succeeded >= 0 && failed >= 0) << "no metrics\n" << errors();
    signal(SIGHUP);
    bool applied = false;
    const bool over = wait_for(
        [&] {
            applied = reloads("success") > succeeded;
            return applied || reloads("failure") > failed;
        },
        limit);
    if (!over) ADD_FAILURE() << "no end of a reload was counted after HUP\n" << errors();
    return applied;
}

bool ProxyProcess::change_to(const ConfigText& config, milliseconds limit) {
    rewrite(config);
    return reload(limit);
}

void ProxyProcess::guard_group() {
    if (!guard_ && !options_.spawn.new_session)
        guard_ = std::make_unique<GroupGuard>(child_->pid());
}

bool ProxyProcess::upgrade(milliseconds limit) {
    guard_group();
    pid_t serving = pid();
    signal(SIGUSR2);
    const bool changed = wait_for(
        [&] {
            const HttpAnswer answer = admin().get("/api/v1/status");
            if (answer.status != 200) return false;
            serving = boost::json::parse(answer.body).at("pid").to_number<pid_t>();
            return serving != pid();
        },
        limit);
    if (changed) {
        follow_upgrade(serving);
    } else {
        ADD_FAILURE() << "no other process serves after USR2\n" << errors();
    }
    return changed;
}

void ProxyProcess::follow_upgrade(pid_t pid) {
    guard_group();
    heirs_.emplace_back(pid);
}

std::vector<pid_t> ProxyProcess::old_pids() const {
    std::vector<pid_t> pids;
    if (heirs_.empty()) return pids;
    pids.push_back(child_->pid());
    for (std::size_t i = 0; i + 1 < heirs_.size(); ++i) pids.push_back(heirs_[i].pid());
    return pids;
}

std::size_t ProxyProcess::old_running() const {
    if (heirs_.empty()) return 0;
    std::size_t count = child_->running() ? 1 : 0;
    for (std::size_t i = 0; i + 1 < heirs_.size(); ++i) count += heirs_[i].running() ? 1 : 0;
    return count;
}

std::vector<Address> ProxyProcess::addresses_now(const std::string& listener) const {
    std::vector<Address> found;
    const HttpAnswer answer = admin().get("/api/v1/listeners");
    if (answer.status != 200) return found;
    const auto listeners = boost::json::parse(answer.body);
    for (const auto& entry : listeners.as_array()) {
        if (entry.at("name").as_string() != listener) continue;
        for (const auto& bind : entry.at("bind").as_array())
            found.push_back(Address::parse(std::string_view(bind.as_string())));
    }
    return found;
}

AdminClient ProxyProcess::admin() const {
    return AdminClient("unix:" + (directory_ / "admin.sock").string());
}

// With sessions left, or clients on their way, the figures would be of another moment than the log.
std::optional<MetricsPage> ProxyProcess::last_counters() const {
    const bool elsewhere =
        toml_.contains("[[admin.listener]]") && !toml_.contains("@DIR@/admin.sock");
    if (!options_.check_counters || elsewhere) return std::nullopt;
    const HttpAnswer answer = admin().get("/metrics");
    if (answer.status != 200) {
        ADD_FAILURE() << "no metrics from penstock: status " << answer.status << "\n"
                      << child_->errors();
        return std::nullopt;
    }
    MetricsPage page(answer.body);
    const bool idle = page.value("penstock_connections_active") == 0 &&
                      page.sum("penstock_listener_accept_queue_length") == 0;
    if (!idle) return std::nullopt;
    return page;
}

// Who came between the page and the signal is in the log alone.
void ProxyProcess::check_counters(const MetricsPage& page) const {
    for (const auto& text : contradictions(page)) ADD_FAILURE() << "counters: " << text;
    const double left_out = page.sum("penstock_access_log_suppressed_total") +
                            page.sum("penstock_access_log_dropped_total");
    if (!logs_every_end() || left_out != 0) return;
    const auto log = access_log_.lines();
    std::size_t ends = 0;
    for (const auto& line : log) ends += line.event == "close" ? 1 : 0;
    if (static_cast<double>(ends) > page.sum("penstock_sessions_closed_total")) return;
    for (const auto& text : differences(page, log))
        ADD_FAILURE() << "counters and access log differ: " << text;
}

bool ProxyProcess::logs_every_end() const {
    return std::filesystem::exists(access_log_.path()) && !toml_.contains("skip_empty") &&
           !toml_.contains("\"text\"") && !toml_.contains("events = [\"open\"]");
}

std::optional<int> ProxyProcess::wait_exit(milliseconds limit) {
    ended_ = true;
    const auto status =
        heirs_.empty() ? child_->wait_exit(limit) : heirs_.back().wait_exit(limit).status;
    check_reports();
    return status;
}

void ProxyProcess::kill() {
    signal(SIGKILL);
    wait_exit();
}

std::size_t ProxyProcess::descriptors() const { return descriptors_of(pid()); }
std::size_t ProxyProcess::threads() const { return threads_of(pid()); }
std::uint64_t ProxyProcess::private_memory() const { return private_memory_of(pid()); }

milliseconds ProxyProcess::cpu_per_second(milliseconds span) const {
    const auto start = Clock::now();
    const auto before = cpu_of(pid());
    std::this_thread::sleep_for(span);  // the measured interval itself
    const std::chrono::duration<double> used = cpu_of(pid()) - before;
    const std::chrono::duration<double> passed = Clock::now() - start;
    return milliseconds(static_cast<std::int64_t>(used / passed * 1000));
}

bool ProxyProcess::descriptors_return_to(std::size_t count, milliseconds limit) const {
    return wait_for([&] { return descriptors() == count; }, limit);
}

Finished run_penstock(const std::vector<std::string>& arguments, milliseconds limit,
                      const std::vector<std::string>& wrapper) {
    std::vector<std::string> argv = wrapper;
    argv.push_back(penstock_binary());
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    ChildProcess child(argv);
    const auto status = child.wait_exit(limit);
    Finished result;
    result.exit_status = !status ? -2 : WIFEXITED(*status) ? WEXITSTATUS(*status) : -1;
    result.output = child.output();
    result.errors = child.errors();
    return result;
}

}  // namespace penstock::test
