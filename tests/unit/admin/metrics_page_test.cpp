#include "admin/metrics_page.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <utility>

namespace penstock::admin {
namespace {

// One of everything.
Overview example() {
    Overview overview;
    overview.process.version = "1.0";
    overview.process.compiler = "some \"compiler\" \\ 1";
    overview.process.workers = {{.id = 0}, {.id = 1}};
    ListenerView listener{.name = "web",
                          .upstream = "web",
                          .destinations = {{"web", Role::none, 5}, {"web", Role::primary, 1}},
                          .tls = true};
    listener.figures.routes.push_back({.upstream = "web", .totals = {}});
    overview.listeners.push_back(listener);
    UpstreamView upstream{.name = "web"};
    upstream.sources.push_back({.what = "dns web.internal", .is_dns = true});
    upstream.source_addresses = {{.address = "10.0.0.5"}};
    upstream.backends.push_back({.name = "a", .address = "10.0.0.1:80"});
    upstream.departed.push_back({.name = "gone"});
    overview.upstreams.push_back(upstream);
    overview.certificates = {{.owner = "web", .file = "/a.pem"}};
    overview.revocations = {{.owner = "web", .file = "/a.crl"}};
    return overview;
}

// A listener and its upstream that a reload has removed while three sessions went on.
Overview with_departed() {
    Overview overview = example();
    ListenerView listener{.name = "old", .active = 3};
    listener.figures.totals.accepted = 10;
    listener.figures.totals.closed[std::to_underlying(CloseReason::denied)] = 1;
    listener.figures.routes.push_back({.upstream = "past", .totals = {}});
    listener.figures.routes.back().totals.closed[std::to_underlying(CloseReason::completed)] = 6;
    overview.departed_listeners.push_back(listener);
    UpstreamView upstream{.name = "past"};
    upstream.totals.retries = 4;
    upstream.source_addresses = {{.address = "10.0.0.5", .connections = 3}};
    upstream.departed.push_back({.name = "b", .active = 3});
    upstream.departed.back().totals.established = 9;
    overview.departed_upstreams.push_back(upstream);
    return overview;
}

struct Family {
    std::string type;
    std::set<std::string> labels;
    bool operator==(const Family&) const = default;
};

std::map<std::string, Family> families_of(const std::string& page) {
    std::map<std::string, Family> families;
    std::string current;
    std::istringstream lines(page);
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with("# TYPE ")) {
            const auto space = line.rfind(' ');
            current = line.substr(7, space - 7);
            families[current].type = line.substr(space + 1);
        }
        const auto brace = line.find('{');
        if (line.starts_with('#') || brace == std::string::npos) continue;
        for (auto at = brace; line[at] != '}';) {
            const auto equals = line.find('=', at);
            const std::string label = line.substr(at + 1, equals - at - 1);
            if (label != "le") families[current].labels.insert(label);
            at = equals + 2;
            while (line[at] != '"') at += line[at] == '\\' ? 2 : 1;
            ++at;
        }
    }
    return families;
}

std::map<std::string, Family> documented() {
    std::map<std::string, Family> families;
    std::ifstream file(PENSTOCK_SOURCE_DIR "/docs/metrics.md");
    for (std::string line; std::getline(file, line);) {
        if (!line.starts_with("| `")) continue;
        std::vector<std::string> cells;
        std::istringstream row(line.substr(1));
        for (std::string cell; std::getline(row, cell, '|');) {
            const auto first = cell.find_first_not_of(' ');
            cells.push_back(first == std::string::npos
                                ? ""
                                : cell.substr(first, cell.find_last_not_of(' ') - first + 1));
        }
        Family& family = families[cells[0].substr(1, cells[0].size() - 2)];
        family.type = cells[1];
        std::istringstream labels(cells[2]);
        for (std::string label; std::getline(labels, label, ',');)
            family.labels.insert(label.substr(label.find_first_not_of(' ')));
    }
    return families;
}

TEST(MetricsPage, has_what_is_documented_with_its_labels_and_nothing_else) {
    const auto shown = families_of(metrics_page(example()));
    const auto wanted = documented();
    ASSERT_GT(wanted.size(), 50U);
    for (const auto& [name, family] : wanted) {
        const auto found = shown.find(name);
        if (found == shown.end()) {
            ADD_FAILURE() << name << " is documented and not there";
            continue;
        }
        EXPECT_EQ(found->second.type, family.type) << name;
        EXPECT_EQ(found->second.labels, family.labels) << name;
    }
    for (const auto& [name, family] : shown)
        EXPECT_TRUE(wanted.contains(name)) << name << " is not documented";
}

TEST(MetricsPage, M6_what_may_occur_is_there_from_the_start_at_zero) {
    const std::string page = metrics_page(example());
    for (const char* sample :
         {"penstock_sessions_closed_total{listener=\"web\",upstream=\"web\",reason=\"killed\","
          "class=\"operator\"} 0\n",
          "penstock_sessions_closed_total{listener=\"web\",upstream=\"\",reason=\"denied\","
          "class=\"policy\"} 0\n",
          "penstock_backend_connect_failures_total{upstream=\"web\",backend=\"a\","
          "error=\"timeout\"} 0\n",
          "penstock_backend_connect_seconds_bucket{upstream=\"web\",backend=\"a\",le=\"0.00025\"} "
          "0\n",
          "penstock_backend_bytes_total{upstream=\"web\",backend=\"gone\",direction=\"to_client\"} "
          "0\n"})
        EXPECT_NE(page.find(sample), std::string::npos) << sample;
    EXPECT_EQ(page.find("backend_up{upstream=\"web\",backend=\"gone\"}"), std::string::npos)
        << "who left is neither up nor down";
    EXPECT_EQ(page.find("upstream=\"\",reason=\"completed\""), std::string::npos)
        << "what cannot occur is not there";
}

TEST(MetricsPage, availability_is_told_by_role_where_one_is_asked_for) {
    const std::string page = metrics_page(example());
    EXPECT_TRUE(
        page.contains("penstock_listener_backends_available{listener=\"web\","
                      "upstream=\"web\",role=\"primary\"} 1\n"));
    EXPECT_FALSE(page.contains("role=\"\""));
}

TEST(MetricsPage, M8_who_has_left_keeps_its_counters_and_its_sessions) {
    const std::string page = metrics_page(with_departed());
    for (const char* sample : {"listener_connections_total{listener=\"old\"} 10",
                               "listener_connections_active{listener=\"old\"} 3",
                               "sessions_closed_total{listener=\"old\",upstream=\"past\",reason="
                               "\"completed\",class=\"ok\"} 6",
                               "sessions_closed_total{listener=\"old\",upstream=\"\",reason="
                               "\"denied\",class=\"policy\"} 1",
                               "listener_refused_total{listener=\"old\",reason=\"denied\"} 1",
                               "session_duration_seconds_count{listener=\"old\"} 0",
                               "session_setup_seconds_count{listener=\"old\",upstream=\"past\"} 0",
                               "upstream_retries_total{upstream=\"past\"} 4",
                               "upstream_queue_seconds_count{upstream=\"past\"} 0",
                               "source_ports_in_use{upstream=\"past\",address=\"10.0.0.5\"} 3",
                               "backend_connections_total{upstream=\"past\",backend=\"b\"} 9",
                               "backend_connections_active{upstream=\"past\",backend=\"b\"} 3"})
        EXPECT_TRUE(page.contains(std::string("\npenstock_") + sample + "\n")) << sample;
}

TEST(MetricsPage, what_is_only_true_of_the_configuration_ends_with_it) {
    const std::string page = metrics_page(with_departed());
    for (const char* series :
         {"listener_connections_limit{listener=\"old\"",
          "listener_accept_queue_length{listener=\"old\"", "upstream_backends{upstream=\"past\"",
          "upstream_queue_length{upstream=\"past\"", "upstream_panic{upstream=\"past\"",
          "backend_up{upstream=\"past\"", "backend_info{upstream=\"past\"",
          "backend_weight{upstream=\"past\""})
        EXPECT_FALSE(page.contains(series)) << series;
}

TEST(MetricsPage, M7_names_are_escaped) {
    const std::string page = metrics_page(example());
    EXPECT_NE(page.find("compiler=\"some \\\"compiler\\\" \\\\ 1\""), std::string::npos);
}

TEST(MetricsPage, whole_numbers_are_shown_whole) {
    Overview overview = example();
    overview.listeners.front().figures.totals.bytes_to_client = 1'234'567'890'123'456ULL;
    EXPECT_NE(metrics_page(overview).find("direction=\"to_client\"} 1234567890123456\n"),
              std::string::npos);
}

TEST(MetricsPage, C4_the_last_reload_is_told) {
    Overview overview = example();
    overview.process.last_reload_success = WallTime(std::chrono::seconds(1'700'000'000));
    const auto has = [&overview](const std::string& sample) {
        return metrics_page(overview).contains("\npenstock_" + sample + "\n");
    };
    EXPECT_TRUE(has("config_last_reload_success_timestamp_seconds 1700000000"));
    EXPECT_TRUE(has("config_last_reload_successful 1"));
    EXPECT_TRUE(has("config_restart_required 0"));
    EXPECT_TRUE(has("config_reloads_total{result=\"success\"} 0"));
    EXPECT_TRUE(has("config_reloads_total{result=\"failure\"} 0"));
    EXPECT_TRUE(has("old_processes 0"));
    overview.process.last_reload.ok = false;
    overview.process.restart_required = {"process.workers", "process.user"};
    overview.process.reloads_succeeded = 3;
    overview.process.reloads_failed = 2;
    overview.process.old_processes = {{.pid = 7}, {.pid = 6}};
    EXPECT_TRUE(has("config_last_reload_successful 0"));
    EXPECT_TRUE(has("config_restart_required 1"));
    EXPECT_TRUE(has("config_reloads_total{result=\"success\"} 3"));
    EXPECT_TRUE(has("config_reloads_total{result=\"failure\"} 2"));
    EXPECT_TRUE(has("old_processes 2"));
}

}  // namespace
}  // namespace penstock::admin
