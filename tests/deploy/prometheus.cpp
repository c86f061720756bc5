// What deploy/prometheus has: files that promtool accepts, rules whose tests pass and that are
// tested both ways, alerts that say who and where and lead to a page that says what to do.
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <fstream>
#include <regex>
#include <set>

#include "tests/deploy/watched_proxy.hpp"
#include "tests/servers/loopback.hpp"

namespace penstock::test {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

const fs::path folder = PENSTOCK_DEPLOY "/prometheus";

std::string as_text(const json::value& value) { return std::string(value.as_string()); }

// The groups of matches of `pattern` in `text`, by the first of them.
std::multimap<std::string, std::string> matches(const std::string& text,
                                                const std::string& pattern) {
    const std::regex regex(pattern, std::regex::ECMAScript | std::regex::multiline);
    std::multimap<std::string, std::string> found;
    for (std::sregex_iterator at(text.begin(), text.end(), regex), end; at != end; ++at)
        found.emplace(at->str(1), at->size() > 2 ? at->str(2) : "");
    return found;
}

std::set<std::string> firsts(const std::multimap<std::string, std::string>& of) {
    std::set<std::string> keys;
    for (const auto& [key, value] : of) keys.insert(key);
    return keys;
}

std::vector<fs::path> test_files() {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(folder / "tests"))
        files.push_back(entry.path());
    return files;
}

// Prometheus with the rules, where nothing answers.
class Rules : public testing::Test {
protected:
    Rules() : prometheus_(hasty_prometheus(directory_, private_address())) {
        const json::value told = json::parse(prometheus_.data("rules"));
        for (const json::value& group : told.at("groups").as_array())
            for (const json::value& rule : group.at("rules").as_array())
                (rule.at("type").as_string() == "alerting" ? alerts_ : records_).push_back(rule);
        EXPECT_GT(alerts_.size(), 40U);
        EXPECT_GT(records_.size(), 20U);
    }

    TempDir directory_;
    Prometheus prometheus_;
    std::vector<json::value> alerts_;
    std::vector<json::value> records_;
};

TEST(PrometheusFiles, promtool_accepts_configuration_and_rules) {
    run_program({"promtool", "check", "config", (folder / "prometheus.yml").string()});
    run_program({"promtool", "check", "rules", "--lint=all", "--lint-fatal",
                 (folder / "rules/recording.yml").string(),
                 (folder / "rules/alerts.yml").string()});
}

class RuleTests : public testing::TestWithParam<fs::path> {};

TEST_P(RuleTests, pass) { run_program({"promtool", "test", "rules", GetParam().string()}, 200s); }

INSTANTIATE_TEST_SUITE_P(Prometheus, RuleTests, testing::ValuesIn(test_files()),
                         [](const auto& one) {
                             const std::string name = one.param.filename().string();
                             return name.substr(0, name.find('.'));
                         });

TEST_F(Rules, each_is_tested_and_each_alert_both_ways) {
    std::string tests;
    for (const fs::path& file : test_files()) tests += text_of(file);
    const auto firing =
        firsts(matches(tests, "alertname: (\\w+)\\n +eval_time: \\w+\\n +exp_alerts:\\n"));
    const auto silent =
        firsts(matches(tests, "alertname: (\\w+)\\n +eval_time: \\w+\\n +exp_alerts: \\[\\]\\n"));
    for (const json::value& alert : alerts_) {
        const std::string name = as_text(alert.at("name"));
        EXPECT_TRUE(firing.contains(name)) << name << " is never seen to fire";
        EXPECT_TRUE(silent.contains(name)) << name << " is never seen to be silent";
    }
    for (const json::value& record : records_) {
        const std::string name = as_text(record.at("name"));
        const std::string kind = name.substr(name.rfind(':'));
        const bool seen = tests.find(name) != std::string::npos || kind == ":saturation" ||
                          kind == ":p99_5m" || name == "penstock:error_budget:ratio";
        EXPECT_TRUE(seen) << name;
    }
}

TEST_F(Rules, each_alert_says_how_bad_who_and_what_to_do) {
    const auto sections =
        firsts(matches(text_of(PENSTOCK_SOURCE "/docs/alerts.md"), "^## (\\w+)$"));
    std::set<std::string> names;
    for (const json::value& alert : alerts_) {
        const std::string name = as_text(alert.at("name"));
        names.insert(name);
        EXPECT_TRUE(name.starts_with("Penstock")) << name;
        const auto severity = as_text(alert.at("labels").at("severity"));
        EXPECT_TRUE(severity == "critical" || severity == "warning" || severity == "info") << name;
        const json::object& told = alert.at("annotations").as_object();
        const std::string description = as_text(told.at("description"));
        EXPECT_FALSE(told.at("summary").as_string().empty()) << name;
        EXPECT_NE(description.find("{{ $labels."), std::string::npos) << name;
        std::string anchor = name;
        std::ranges::transform(anchor, anchor.begin(),
                               [](unsigned char c) { return std::tolower(c); });
        EXPECT_EQ(as_text(told.at("runbook_url")), "docs/alerts.md#" + anchor);
        EXPECT_TRUE(sections.contains(name)) << name << " has no section in docs/alerts.md";
    }
    for (const std::string& section : sections)
        EXPECT_TRUE(names.contains(section)) << section << " of docs/alerts.md is no alert";
}

TEST(Alerts, what_their_page_tells_to_type_exists) {
    const auto commands =
        matches(text_of(PENSTOCK_SOURCE "/docs/alerts.md"), "`penstock ([a-z]+)([^`]*)`");
    EXPECT_GT(commands.size(), 40U);
    for (const auto& [command, rest] : commands) {
        const Finished help = run_penstock({command, "--help"});
        EXPECT_EQ(help.exit_status, 0) << command;
        for (const auto& [option, none] : matches(rest, "(--[a-z-]+)"))
            EXPECT_NE(help.output.find(option), std::string::npos) << command << rest;
    }
}

TEST_F(Rules, a_proxy_that_does_not_answer_is_told_of) {
    const auto down = [&] {
        return prometheus_.query("ALERTS{alertname=\"PenstockDown\", alertstate=\"firing\"}")
            .size();
    };
    EXPECT_TRUE(
        wait_for([&] { return down() == 2; }));  // by its address, and as lb3 of the list of files
    EXPECT_EQ(prometheus_.value("up{instance=\"lb3\"}"), 0.0);
}

// Metrics and labels of rules and dashboard are those of docs/metrics.md, which the unit tests
// compare with the page.
TEST_F(Rules, names_only_what_is_documented) {
    std::map<std::string, std::set<std::string>> documented;
    // Those of targets and alerts; the rest is the page's.
    std::set<std::string> labels{"job", "instance",   "namespace", "cluster",
                                 "le",  "alertstate", "alertname"};
    for (const auto& [name, list] : matches(text_of(PENSTOCK_SOURCE "/docs/metrics.md"),
                                            "^\\| `(\\w+)` \\| \\w+ \\|([^|]*)\\|")) {
        documented[name] = firsts(matches(list, "(\\w+)"));
        labels.insert(documented[name].begin(), documented[name].end());
    }
    ASSERT_GT(documented.size(), 60U);
    std::set<std::string> recorded;
    std::vector<std::string> expressions;
    for (const auto* rules : {&alerts_, &records_})
        for (const json::value& rule : *rules) {
            expressions.push_back(as_text(rule.at("query")));
            recorded.insert(as_text(rule.at("name")));
        }
    for (const auto& [text, none] :
         matches(text_of(PENSTOCK_DEPLOY "/grafana/dashboards/penstock.json"),
                 "\"(?:expr|definition)\": \"(.*)\",?$"))
        expressions.push_back(std::regex_replace(text, std::regex("\\\\\""), "\""));
    ASSERT_GT(expressions.size(), 150U);
    for (const std::string& text : expressions) {
        for (const auto& [name, braces] :
             matches(text, "([\\w:]*penstock_\\w[\\w:]*|\\bprocess_\\w+)(\\{[^}]*\\})?")) {
            if (name.find(':') != std::string::npos) {
                EXPECT_TRUE(recorded.contains(name)) << name << " in " << text;
                continue;
            }
            const auto family = std::regex_replace(name, std::regex("_bucket$"), "");
            EXPECT_TRUE(documented.contains(family)) << name << " in " << text;
            for (const auto& [label, value] : matches(braces, "(\\w+)(?:=~|!=|!~|=)\""))
                EXPECT_TRUE(documented[family].contains(label) || label == "job" ||
                            label == "instance")
                    << label << " of " << name << " in " << text;
        }
        for (const auto& [list, none] : matches(text, "\\b(?:by|on|group_left) \\(([^)]*)\\)"))
            for (const auto& [label, nothing] : matches(list, "(\\w+)"))
                EXPECT_TRUE(labels.contains(label)) << label << " in " << text;
    }
}

// Debian's Prometheus is built without Kubernetes: its targets, with the labels that it would have
// found, come from a file instead.
TEST(PrometheusFiles, in_kubernetes_it_scrapes_running_pods_of_penstock_at_their_port_for_metrics) {
    const TempDir directory;
    const std::string address = private_address().text();
    const auto pod = [&](const std::string& name, const std::string& app, const std::string& port,
                         const std::string& phase) {
        const std::string meta = "    __meta_kubernetes_";
        return "- targets: ['" + address + "']\n  labels:\n" + meta + "namespace: prod\n" + meta +
               "pod_name: " + name + "\n" + meta + "pod_phase: " + phase + "\n" + meta +
               "pod_container_port_name: " + port + "\n" + meta +
               "pod_label_app_kubernetes_io_name: " + app + "\n";
    };
    directory.write("pods.yml", pod("lb-0", "penstock", "metrics", "Running") +
                                    pod("lb-1", "penstock", "http", "Running") +
                                    pod("lb-2", "penstock", "metrics", "Succeeded") +
                                    pod("web-0", "web", "metrics", "Running"));
    fs::copy(folder / "rules", directory.path() / "rules");
    const std::string text = changed(text_of(folder / "kubernetes.yml"),
                                     {{"kubernetes_sd_configs:\n      - role: pod\n",
                                       "file_sd_configs:\n      - files: [pods.yml]\n"}});
    const Prometheus prometheus(fs::path(directory.write("prometheus.yml", text)));
    json::array targets;
    const auto found = [&] {
        targets = json::parse(prometheus.data("targets")).at("activeTargets").as_array();
        return !targets.empty();
    };
    ASSERT_TRUE(wait_for(found));
    ASSERT_EQ(targets.size(), 1U) << json::serialize(targets);
    EXPECT_EQ(as_text(targets.front().at("labels").at("instance")), "prod/lb-0");
    EXPECT_EQ(as_text(targets.front().at("labels").at("namespace")), "prod");
    EXPECT_EQ(as_text(targets.front().at("labels").at("job")), "penstock");
}

}  // namespace
}  // namespace penstock::test
