#include "app/service_manager.hpp"

#include <map>

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/unique_fd.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::app {
namespace {

using std::chrono::seconds;

config::Environment environment_of(std::map<std::string, std::string> variables) {
    return [variables = std::move(variables)](std::string_view name) -> std::optional<std::string> {
        const auto found = variables.find(std::string(name));
        if (found == variables.end()) return std::nullopt;
        return found->second;
    };
}

/// What a service manager listens with.
class FakeManager {
public:
    explicit FakeManager(const Endpoint& at) : fd_(::socket(AF_UNIX, SOCK_DGRAM, 0)) {
        sockaddr_storage address;
        const socklen_t length = at.to_sockaddr(address);
        EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), length), 0);
    }
    /// The next message; "" = there is none.
    [[nodiscard]] std::string message() const {
        char text[4096];
        const auto n = ::recv(fd_.get(), text, sizeof text, MSG_DONTWAIT);
        return n < 0 ? "" : std::string(text, static_cast<std::size_t>(n));
    }

private:
    net::UniqueFd fd_;
};

TEST(ServiceManager, G10_lines_are_as_the_manager_reads_them) {
    EXPECT_EQ(reloading_lines(TimePoint(seconds(12) + Duration(3999))),
              "RELOADING=1\nMONOTONIC_USEC=12000003");
    EXPECT_EQ(main_pid_line(4711), "MAINPID=4711");
}

// Half of the time is over when a worker stands still just then: the other half is not waited for.
TEST(ServiceManager, H7_whoever_was_late_once_is_looked_at_again_soon) {
    EXPECT_EQ(next_ping(seconds(5), true), seconds(5));
    EXPECT_EQ(next_ping(seconds(5), false), seconds(1));
    EXPECT_EQ(next_ping(seconds(1) / 2, false), seconds(1) / 2);
}

TEST(ServiceManager, G10_the_watchdog_is_due_twice_in_its_time) {
    const auto own = environment_of({{"WATCHDOG_USEC", "30000000"}, {"WATCHDOG_PID", "12"}});
    EXPECT_EQ(watchdog_interval(own, 12, false), seconds(15));
    EXPECT_EQ(watchdog_interval(own, 13, false), std::nullopt) << "another process is meant";
    EXPECT_EQ(watchdog_interval(own, 13, true), seconds(15)) << "its predecessor was meant";
    EXPECT_EQ(watchdog_interval(environment_of({{"WATCHDOG_USEC", "1000"}}), 12, false),
              std::chrono::microseconds(500));
    EXPECT_EQ(watchdog_interval(environment_of({{"WATCHDOG_PID", "12"}}), 12, false), std::nullopt);
    for (const char* text : {"", "0", "-5", "5s", " 5", "99999999999999999999"})
        EXPECT_EQ(watchdog_interval(environment_of({{"WATCHDOG_USEC", text}}), 12, true),
                  std::nullopt)
            << text;
    EXPECT_GT(watchdog_interval(environment_of({{"WATCHDOG_USEC", "9223372036854775807"}}), 1, true)
                  .value_or(Duration{}),
              std::chrono::hours(24))
        << "long, but no overflow";
    EXPECT_EQ(watchdog_interval(environment_of({{"WATCHDOG_USEC", "1000"}, {"WATCHDOG_PID", "x"}}),
                                12, false),
              std::nullopt);
}

TEST(ServiceManager, finds_the_socket_of_the_manager) {
    EXPECT_EQ(notify_socket(environment_of({})), std::nullopt);
    for (const char* name : {"", "notify", "vsock:2:1234", "unix:/run/notify"})
        EXPECT_EQ(notify_socket(environment_of({{"NOTIFY_SOCKET", name}})), std::nullopt) << name;
    const auto path = notify_socket(environment_of({{"NOTIFY_SOCKET", "/run/systemd/notify"}}));
    ASSERT_TRUE(path);
    EXPECT_EQ(path->to_string(), "unix:/run/systemd/notify");
    const auto abstract = notify_socket(environment_of({{"NOTIFY_SOCKET", "@a/b"}}));
    ASSERT_TRUE(abstract);
    EXPECT_TRUE(abstract->is_abstract());
}

TEST(ServiceManager, G10_tells_by_a_path_and_by_an_abstract_name) {
    const test::TempDir directory;
    // The name of a directory that is only ours is nobody else's.
    const std::string own = directory.path("notify");
    for (const auto& name : {own, "@" + own}) {
        const FakeManager manager(*Endpoint::parse("unix:" + name));
        const ServiceManager one(
            environment_of({{"NOTIFY_SOCKET", name}, {"WATCHDOG_USEC", "1000"}}), 12, false);
        EXPECT_TRUE(one.listens());
        EXPECT_EQ(one.watchdog_interval(), std::chrono::microseconds(500));
        one.notify(main_pid_line(4711) + "\nREADY=1");
        one.notify("STOPPING=1");
        const ServiceManager none(environment_of({}), 12, false);
        EXPECT_FALSE(none.listens());
        none.notify("WATCHDOG=1");
        EXPECT_EQ(manager.message(), "MAINPID=4711\nREADY=1") << name;
        EXPECT_EQ(manager.message(), "STOPPING=1") << name;
        EXPECT_EQ(manager.message(), "") << "without a manager nobody is told";
    }
}

TEST(ServiceManager, a_manager_that_is_gone_is_an_error) {
    const test::TempDir directory;
    const auto sent = send_state(*Endpoint::parse("unix:" + directory.path("none")), "READY=1");
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error(), std::errc::no_such_file_or_directory);
}

}  // namespace
}  // namespace penstock::app
