// Files that a reload has read, and that are another one's before it is in force: the newest
// contents count in the end.
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>
#include <future>
#include <mutex>
#include <utility>

#include "tests/integration/change_scenario.hpp"

namespace penstock::test {
namespace {

/// By rename, as it should be done.
void replace(const std::filesystem::path& file, const std::string& line) {
    std::ofstream(file.string() + ".new") << line << "\n";
    std::filesystem::rename(file.string() + ".new", file);
}

/// A reload that has read everything and waits for the check of a new backend, which does not
/// answer before finish().
class WaitingReload {
public:
    WaitingReload(ProxyProcess& proxy, ConfigText next) : proxy_(proxy) {
        const std::string address = own_address(7021);
        next.services.push_back(
            {.name = "fresh",
             .bind = address,
             .backends = {silent_.text()},
             .upstream = "health_check = { type = \"redis\", timeout = \"5m\" }"});
        before_ = applied();
        proxy_.rewrite(next);
        proxy_.signal(SIGHUP);
        EXPECT_TRUE(wait_for([&] { return silent_.accepted() != 0; }));
        EXPECT_FALSE(is_over());
    }
    ~WaitingReload() { finish(); }
    WaitingReload(const WaitingReload&) = delete;
    WaitingReload& operator=(const WaitingReload&) = delete;

    /// The check fails, and the reload comes into force.
    void finish() {
        if (std::exchange(finished_, true)) return;
        EXPECT_FALSE(is_over());
        end_.set_value();
        EXPECT_TRUE(wait_for([&] { return is_over(); })) << proxy_.errors();
    }

private:
    [[nodiscard]] double applied() const {
        return metrics_of(proxy_).value("penstock_config_reloads_total{result=\"success\"}");
    }
    [[nodiscard]] bool is_over() const { return applied() > before_; }

    ProxyProcess& proxy_;
    std::promise<void> end_;
    std::shared_future<void> ended_ = end_.get_future().share();
    ChaosBackend silent_{[this](Socket&, const ChaosBackend&) { ended_.wait(); }};
    double before_ = 0;
    bool finished_ = false;
};

TEST(ReloadFiles, a_token_that_was_revoked_meanwhile_stays_revoked) {
    EchoServer echo;
    const TempDir directory;
    const std::string file = write_token(directory);
    const ConfigText config = with_tcp({echo.text()},
                                       "bind = \"127.0.0.1:0\"\naccess = \"full\"\n"
                                       "token_file = \"" +
                                           file + "\"");
    ProxyProcess proxy(config);
    const AdminClient admin = tcp_admin(proxy);
    const auto status = [&](const std::string& with) {
        return admin.send({.target = "/api/v1/status", .header = {"Authorization: Bearer " + with}})
            .status;
    };
    ASSERT_EQ(status(token), 200);
    WaitingReload reload(proxy, config);
    const std::string changed = "another-token-of-enough-length";
    replace(file, changed);
    ASSERT_TRUE(proxy.says("has changed"));
    reload.finish();
    EXPECT_EQ(status(changed), 200);
    EXPECT_EQ(status(token), 401);
}

/// Notes the password that a check brings, and hangs up.
class Asked {
public:
    static constexpr std::size_t length = 20;  // of a password

    [[nodiscard]] ChaosBackend::Script script() {
        return [this](Socket& socket, const ChaosBackend&) {
            const std::string head = "*2\r\n$4\r\nAUTH\r\n$20\r\n";
            const std::string said = socket.receive_text(head.size() + length);
            const std::lock_guard lock(mutex_);
            last_ = said.substr(std::min(head.size(), said.size()));
        };
    }
    /// By the check that came last.
    [[nodiscard]] std::string last() const {
        const std::lock_guard lock(mutex_);
        return last_;
    }
    [[nodiscard]] bool waits_for(const std::string& password) const {
        return wait_for([&] { return last() == password; });
    }

private:
    mutable std::mutex mutex_;
    std::string last_;
};

struct ReloadedPasswords : testing::Test {
    const std::string first = std::string(Asked::length, 'a');
    const std::string second = std::string(Asked::length, 'b');
    TempDir directory;
    const std::filesystem::path file = directory.path() / "password";
    EchoServer echo;
    Asked asked;
    ChaosBackend redis{asked.script()};

    ReloadedPasswords() { replace(file, first); }

    [[nodiscard]] Service checked() const {
        return {.name = "redis",
                .bind = "127.0.0.2:0",
                .backends = {redis.text()},
                .upstream =
                    "health_check = { type = \"redis\", interval = \"100ms\", "
                    "fast_interval = \"100ms\", password_file = \"" +
                    file.string() + "\" }"};
    }
};

TEST_F(ReloadedPasswords, count_when_they_change_just_before_a_reload_of_something_else) {
    ConfigText config = one_service({echo.text()});
    config.services.push_back(checked());
    ProxyProcess proxy(config);
    ASSERT_TRUE(asked.waits_for(first));
    replace(file, second);
    config.services[0].upstream = "attempts = 1";
    ASSERT_TRUE(proxy.change_to(config));
    EXPECT_TRUE(asked.waits_for(second)) << asked.last();
}

TEST_F(ReloadedPasswords, count_when_they_change_while_a_reload_brings_their_upstream) {
    ConfigText config = one_service({echo.text()});
    ProxyProcess proxy(config);
    config.services.push_back(checked());
    WaitingReload reload(proxy, config);
    ASSERT_TRUE(asked.waits_for(first));
    replace(file, second);
    reload.finish();
    EXPECT_TRUE(asked.waits_for(second)) << asked.last();
}

}  // namespace
}  // namespace penstock::test
