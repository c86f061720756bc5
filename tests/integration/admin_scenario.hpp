#pragma once

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/integration/scenario.hpp"
#include "tests/support/admin_client.hpp"

/// What the tests of the admin API have in common.
namespace penstock::test {

namespace json = boost::json;

inline const std::string token = "a-token-that-nobody-guesses-0123456789";

// The unix socket, and a port of its own for what goes over TCP.
inline ConfigText with_tcp(std::vector<std::string> backends, const std::string& listener,
                           std::string upstream = "") {
    ConfigText config = one_service(std::move(backends), "", std::move(upstream));
    config.admin =
        "[[admin.listener]]\nbind = \"unix:@DIR@/admin.sock\"\n[[admin.listener]]\n" + listener;
    return config;
}

// The program logs where its API really listens.
inline std::string tcp_admin_port(const ProxyProcess& proxy) {
    static const std::string head = "admin API on 127.0.0.1:";
    std::string port;
    wait_for([&] {
        const std::string log = proxy.errors();
        const auto at = log.find(head);
        if (at == std::string::npos) return false;
        const auto begin = at + head.size();
        port = log.substr(begin, log.find(' ', begin) - begin);
        return true;
    });
    return port;
}
inline AdminClient tcp_admin(const ProxyProcess& proxy) {
    return AdminClient("127.0.0.1:" + tcp_admin_port(proxy));
}

inline json::value get_json(const AdminClient& admin, const std::string& target) {
    const HttpAnswer answer = admin.get(target);
    EXPECT_EQ(answer.status, 200) << target << "\n" << answer.body;
    return answer.status == 200 ? json::parse(answer.body) : json::value(nullptr);
}

inline MetricsPage metrics_of(const ProxyProcess& proxy) {
    return MetricsPage(proxy.admin().get("/metrics").body);
}

inline std::string write_token(const TempDir& directory) {
    const auto path = directory.path() / "operator.token";
    std::ofstream(path) << token << "\n";
    std::filesystem::permissions(path, std::filesystem::perms::owner_read);
    return path.string();
}

inline std::string text(const json::value& value) { return json::serialize(value); }

/// Each has echoed once.
inline std::vector<Socket> clients_of(const ProxyProcess& proxy, int count) {
    std::vector<Socket> clients;
    for (int i = 0; i < count; ++i) {
        auto client = established(proxy.address());
        EXPECT_TRUE(client);
        if (client) clients.push_back(std::move(*client));
    }
    return clients;
}

}  // namespace penstock::test
