// The names that logs and the API use are the words of the configuration.
#include "config/names.hpp"

#include <gtest/gtest.h>

#include "config/config.hpp"
#include "config/print.hpp"

namespace penstock::config {
namespace {

Config one_of_each() {
    Config config;
    config.admin.listeners.emplace_back().bind = {*Endpoint::parse("127.0.0.1:9901")};
    Upstream& upstream = config.upstreams.emplace_back();
    upstream.name = "app";
    Backend& backend = upstream.backends.emplace_back();
    backend.name = "a";
    backend.address = *Endpoint::parse("127.0.0.1:80");
    return config;
}

bool prints(const Config& config, std::string_view key, std::string_view word) {
    return print(config).contains(std::string(key) + " = \"" + std::string(word) + "\"");
}

TEST(ConfigNames, are_the_words_of_the_keys) {
    Config config = one_of_each();
    for (int i = 0; i < 8; ++i) {
        const auto balance = static_cast<Balance>(i);
        config.upstreams[0].balance = balance;
        EXPECT_TRUE(prints(config, "balance", name_of(balance))) << name_of(balance);
    }
    for (int i = 0; i < 3; ++i) {
        const auto state = static_cast<BackendState>(i);
        config.upstreams[0].backends[0].state = state;
        EXPECT_TRUE(prints(config, "state", name_of(state))) << name_of(state);
        EXPECT_EQ(backend_state_named(name_of(state)), state);
        const auto access = static_cast<AdminAccess>(i);
        config.admin.listeners[0].access = access;
        EXPECT_TRUE(prints(config, "access", name_of(access))) << name_of(access);
    }
    EXPECT_EQ(backend_state_named("down"), std::nullopt);
}

}  // namespace
}  // namespace penstock::config
