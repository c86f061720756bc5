// Grafana's dashboard: as it is generated, laid out well, and each of its queries has an answer
// when a real Prometheus watches a proxy to which everything happens.
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <cmath>
#include <regex>
#include <set>

#include "tests/deploy/watched_proxy.hpp"

namespace penstock::test {
namespace {

namespace json = boost::json;

const std::filesystem::path folder = PENSTOCK_DEPLOY "/grafana";

json::value dashboard() { return json::parse(text_of(folder / "dashboards/penstock.json")); }

std::string as_text(const json::value& value) { return std::string(value.as_string()); }

struct Query {
    std::string where;
    std::string expression;
};

// What Grafana puts in when everything is chosen, and a time that spans some scrapes.
std::string filled_in(std::string expression) {
    for (const auto& [variable, value] :
         std::initializer_list<std::pair<std::string, std::string>>{{"$__rate_interval", "1m"},
                                                                    {"$job", "penstock"},
                                                                    {"$instance", ".*"},
                                                                    {"$listener", ".*"},
                                                                    {"$upstream", ".*"}})
        for (auto at = expression.find(variable); at != std::string::npos;
             at = expression.find(variable))
            expression.replace(at, variable.size(), value);
    return expression;
}

std::vector<Query> all_queries(const json::value& board) {
    std::vector<Query> queries;
    for (const json::value& panel : board.at("panels").as_array()) {
        if (panel.at("type") == "row") continue;
        for (const json::value& target : panel.at("targets").as_array())
            queries.push_back({as_text(panel.at("title")) + " " + as_text(target.at("refId")),
                               as_text(target.at("expr"))});
    }
    for (const json::value& annotation : board.at("annotations").at("list").as_array())
        queries.push_back(
            {"annotation " + as_text(annotation.at("name")), as_text(annotation.at("expr"))});
    // label_values(METRIC, LABEL): Grafana asks for the series, and takes the label of each.
    static const std::regex values(R"(label_values\((.*), (\w+)\))");
    for (const json::value& variable : board.at("templating").at("list").as_array()) {
        if (variable.at("type") != "query") continue;
        const std::string text = as_text(variable.at("definition"));
        std::smatch found;
        if (!std::regex_match(text, found, values)) ADD_FAILURE() << text;
        queries.push_back({"variable " + as_text(variable.at("name")),
                           "count by (" + found.str(2) + ") (" + found.str(1) + ") and on (" +
                               found.str(2) + ") " + found.str(1)});
    }
    for (Query& query : queries) {
        query.expression = filled_in(query.expression);
        EXPECT_EQ(query.expression.find('$'), std::string::npos) << query.expression;
    }
    return queries;
}

// Every selector of these queries, one for each value that it asks for.
std::set<std::string> selectors_of(const std::vector<Query>& queries) {
    static const std::regex selector(R"(\b((?:penstock|process)_\w+)(\{[^}]*\})?)");
    static const std::regex matcher(R"re((\w+)(=~|!=|!~|=)"([^"]*)")re");
    std::set<std::string> found;
    for (const Query& query : queries) {
        const std::string& text = query.expression;
        for (std::sregex_iterator at(text.begin(), text.end(), selector), end; at != end; ++at) {
            const std::string metric = at->str(1);
            found.insert(metric);
            const std::string braces = at->str(2);
            for (std::sregex_iterator one(braces.begin(), braces.end(), matcher); one != end;
                 ++one) {
                std::istringstream values(one->str(3));
                for (std::string value; std::getline(values, value, '|');)
                    found.insert(metric + "{" + one->str(1) + (value == ".*" ? "=~\"" : "=\"") +
                                 value + "\"}");
            }
        }
    }
    return found;
}

bool has_data(const std::map<std::string, double>& values) {
    return std::ranges::any_of(values, [](const auto& one) { return std::isfinite(one.second); });
}

TEST(Grafana, the_dashboard_is_what_its_description_makes) {
    EXPECT_EQ(run_program({"python3", "-B", (folder / "dashboard.py").string()}),
              text_of(folder / "dashboards/penstock.json"))
        << "python3 dashboard.py > dashboards/penstock.json";
}

TEST(Grafana, panels_have_names_units_and_places_of_their_own) {
    std::set<std::int64_t> ids;
    std::set<std::pair<std::int64_t, std::int64_t>> taken;
    const json::value board = dashboard();
    for (const json::value& panel : board.at("panels").as_array()) {
        const std::string title = as_text(panel.at("title"));
        EXPECT_TRUE(ids.insert(panel.at("id").as_int64()).second) << title;
        const json::value& place = panel.at("gridPos");
        const auto x = place.at("x").as_int64();
        const auto y = place.at("y").as_int64();
        EXPECT_LE(x + place.at("w").as_int64(), 24) << title;
        for (auto column = x; column < x + place.at("w").as_int64(); ++column)
            for (auto line = y; line < y + place.at("h").as_int64(); ++line)
                EXPECT_TRUE(taken.emplace(column, line).second) << title << " covers another panel";
        if (panel.at("type") == "row") continue;
        EXPECT_FALSE(panel.at("description").as_string().empty()) << title;
        EXPECT_FALSE(panel.at("fieldConfig").at("defaults").at("unit").as_string().empty())
            << title;
        EXPECT_EQ(panel.at("datasource").at("uid"), "${datasource}") << title;
        EXPECT_FALSE(panel.at("targets").as_array().empty()) << title;
    }
    EXPECT_GT(ids.size(), 40U);
}

TEST(Grafana, what_is_provisioned_names_the_folder_and_the_source) {
    const auto parsed = [](const char* file) {
        return json::parse(run_program(
            {"python3", "-c",
             "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))",
             (folder / "provisioning" / file).string()}));
    };
    const json::value sources = parsed("datasources/prometheus.yml");
    EXPECT_EQ(sources.at("apiVersion"), 1);
    EXPECT_EQ(sources.at("datasources").at(0).at("type"), "prometheus");
    EXPECT_EQ(sources.at("datasources").at(0).at("url"), "$PROMETHEUS_URL");
    const json::value folders = parsed("dashboards/penstock.yml");
    EXPECT_EQ(folders.at("apiVersion"), 1);
    EXPECT_EQ(folders.at("providers").at(0).at("type"), "file");
    const auto readme = text_of(folder / "README.md");
    for (const std::string& told : {as_text(folders.at("providers").at(0).at("options").at("path")),
                                    std::string("PROMETHEUS_URL")})
        EXPECT_NE(readme.find(told), std::string::npos) << told;
}

TEST(Grafana, every_query_of_dashboard_and_rules_has_an_answer) {
    WatchedProxy watched;
    std::vector<Query> queries = all_queries(dashboard());
    ASSERT_GT(queries.size(), 90U);
    std::vector<Query> rules;
    const Prometheus& prometheus = watched.prometheus();
    const auto read_rules = [&] {
        rules.clear();
        const json::value told = json::parse(prometheus.data("rules"));
        for (const json::value& group : told.at("groups").as_array())
            for (const json::value& rule : group.at("rules").as_array())
                if (rule.at("health") == "ok")
                    rules.push_back({as_text(rule.at("name")), as_text(rule.at("query"))});
                else
                    return false;
        return !rules.empty();
    };
    EXPECT_TRUE(wait_for(read_rules)) << prometheus.data("rules");
    EXPECT_GT(rules.size(), 60U);
    for (const Query& rule : rules)
        if (rule.where.find(':') != std::string::npos) queries.push_back({"rule", rule.where});
    const auto without_answer = [&] {
        watched.reload_badly_and_well();
        std::erase_if(queries, [&](const Query& query) {
            return has_data(prometheus.query(query.expression));
        });
        return queries.size();
    };
    wait_for([&] { return without_answer() == 0; }, 40s);
    for (const Query& query : queries) ADD_FAILURE() << query.where << ": " << query.expression;

    for (const Query& query : all_queries(dashboard())) rules.push_back(query);
    const auto selectors = selectors_of(rules);
    EXPECT_GT(selectors.size(), 100U);
    for (const std::string& selector : selectors)
        EXPECT_TRUE(has_data(prometheus.query("count(" + selector + ")")))
            << selector << " is nowhere";
}

}  // namespace
}  // namespace penstock::test
