#include "tests/deploy/watched_proxy.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <regex>
#include <stdexcept>

#include "tests/integration/tls_scenario.hpp"
#include "tests/servers/loopback.hpp"

namespace penstock::test {

namespace fs = std::filesystem;

std::string text_of(const fs::path& file) {
    std::ifstream in(file);
    if (!in) throw std::runtime_error("cannot read " + file.string());
    return {std::istreambuf_iterator<char>(in), {}};
}

fs::path hasty_prometheus(const TempDir& directory, const Address& target) {
    const std::string here = '"' + target.text() + '"';
    const std::pair<fs::path, Changes> files[] = {
        {"prometheus.yml",
         {{"scrape_interval: 15s", "scrape_interval: 1s"},
          {"evaluation_interval: 15s", "evaluation_interval: 1s"},
          {"\"10.0.0.10:9901\", \"10.0.0.20:9901\"", here}}},
        {"rules/recording.yml", {{"interval: 2m", "interval: 1s"}}},
        {"rules/alerts.yml", {}},
        {"targets/penstock.yml", {{"\"10.0.0.30:9901\"", here}}}};
    static const std::regex patience_of_alerts("for: \\w+");
    const fs::path source = PENSTOCK_DEPLOY "/prometheus";
    for (const auto& [name, changes] : files) {
        std::string text = changed(text_of(source / name), changes);
        if (name == "rules/alerts.yml") {
            EXPECT_TRUE(std::regex_search(text, patience_of_alerts)) << text;
            text = std::regex_replace(text, patience_of_alerts, "for: 1s");
        }
        fs::create_directories(directory.path() / name.parent_path());
        std::ofstream(directory.path() / name) << text;
    }
    return directory.path() / "prometheus.yml";
}

WatchedProxy::WatchedProxy()
    : pki_(directory_),
      certificate_(pki_.server("secure.test")),
      names_(DnsServer::always({DnsServer::ipv4("127.0.0.1", 1)})),
      metrics_(private_address()) {
    proxy_.emplace(configuration());
    prometheus_.emplace(hasty_prometheus(directory_, metrics_));
    for (const char* name : {"in", "secure", "narrow", "broken", "closed"})
        listeners_[name] = proxy_->address(name);
    thread_ = std::thread([this] { clients(); });
}

WatchedProxy::~WatchedProxy() {
    stop_ = true;
    thread_.join();
}

ConfigText WatchedProxy::configuration() {
    ConfigText config;
    config.process = "workers = 2\nmemory_limit = \"16GiB\"";
    config.admin =
        "[[admin.listener]]\nbind = \"unix:@DIR@/admin.sock\"\n[[admin.listener]]\nbind = \"" +
        metrics_.text() + "\"\naccess = \"metrics\"";
    const std::string port_of_a = port_of(Address::parse(a_.text()));
    config.services = {
        {.name = "in",
         .backends = {a_.text(), b_.text()},
         .listener = "max_connections = 1000\naccept_rate_per_source = \"1/h\"\n"
                     "dry_run = [\"accept_rate_per_source\"]",
         .upstream =
             "pool = { min_idle = 1 }\nhealth_check = { type = \"tcp\", interval = \"200ms\" }"},
        {.name = "secure",
         .listener = terminates({certificate_}),
         .upstream = "[[upstream.discovery]]\nname = \"backend.test\"\nport = " + port_of_a +
                     "\nresolver = \"" + names_.text() + "\"\nmin_ttl = \"1s\"\nmax_ttl = \"1s\""},
        {.name = "narrow",
         .backends = {"address = \"" + b_.text() + "\"\nmax_connections = 1"},
         .upstream = "queue = { max_length = 10, timeout = \"10s\" }"},
        {.name = "broken",
         .backends = {nobody_.address.text(), nobody_.address.text()},
         .upstream = "panic_threshold = 1\ncircuit_breaker = { open_for = { base = \"1s\", max = "
                     "\"1s\" } }"},
        {.name = "writes",
         .backends = {a_.text()},
         .listener = "role = \"primary\"",
         .upstream = "health_check = { type = \"redis\" }"},
        {.name = "closed", .backends = {a_.text()}, .listener = "deny = \"all\""}};
    // So that each is another one.
    config.more = "# reload " + std::to_string(reloads_) + "\n[[upstream]]\nname = \"reload-" +
                  std::to_string(reloads_ % 2) + "\"\nbackend = \"" + a_.text() + "\"\n";
    return config;
}

void WatchedProxy::reload_badly_and_well() {
    proxy_->rewrite(std::string("this is no configuration\n"));
    EXPECT_FALSE(proxy_->reload());
    ++reloads_;
    EXPECT_TRUE(proxy_->change_to(configuration()));
}

void WatchedProxy::clients() {
    for (unsigned round = 0; !stop_; ++round) {
        echo_once(listeners_["in"]);
        client_over_tls(round % 2 == 1);
        clients_that_queue();
        // With pauses, in which the circuit lets somebody try.
        if (round % 30 == 0) clients_that_fail();
        if (auto denied = Socket::connect(listeners_["closed"])) denied->wait_end();
        // No more than that: the machine has other tests to run.
        std::this_thread::sleep_for(100ms);
    }
}

void WatchedProxy::client_over_tls(bool resumes) {
    TlsClient client({.server_name = "secure.test", .ca_file = pki_.ca_file()},
                     resumes ? session_ : TlsSession{});
    if (client.open(listeners_["secure"]) && client.ping()) {
        session_ = client.session();
        client.close_cleanly();
    }
    if (auto plain = Socket::connect(listeners_["secure"])) {
        plain->send("this is no ClientHello\n");
        plain->wait_end();
    }
}

void WatchedProxy::clients_that_queue() {
    auto first = established(listeners_["narrow"]);
    auto second = Socket::connect(listeners_["narrow"]);
    if (!first || !second) return;
    second->send("x");
    // It waits: nothing comes back before the first one leaves.
    EXPECT_EQ(second->receive_text(1, 50ms), "");
    first->finish();
    first->wait_end();
    second->receive_text(1);
    second->finish();
    second->wait_end();
}

void WatchedProxy::clients_that_fail() {
    for (int i = 0; i < 12; ++i)
        if (auto client = Socket::connect(listeners_["broken"])) client->wait_end();
}

}  // namespace penstock::test
