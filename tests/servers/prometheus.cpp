#include "tests/servers/prometheus.hpp"

#include <exception>
#include <stdexcept>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "tests/servers/curl.hpp"
#include "tests/servers/loopback.hpp"
#include "tests/support/deadline.hpp"

namespace penstock::test {

namespace json = boost::json;

Prometheus::Prometheus(const Address& target) : address_(private_address()) {
    start(directory_.write("prometheus.yml",
                           "global:\n  scrape_interval: 1s\nscrape_configs:\n"
                           "  - job_name: penstock\n    static_configs:\n      - targets: ['" +
                               target.text() + "']\n"));
}

Prometheus::Prometheus(const std::filesystem::path& configuration) : address_(private_address()) {
    start(configuration);
}

void Prometheus::start(const std::filesystem::path& configuration) {
    process_.emplace(ServerProcess::Command{
        .argv = {"prometheus", "--config.file=" + configuration.string(),
                 "--storage.tsdb.path=" + directory_.path("data"),
                 "--web.listen-address=" + address_.text(), "--log.level=error"},
        .accepts_on = address_});
    // It accepts before it can answer.
    const auto ready = [this] {
        try {
            static_cast<void>(curl({"http://" + address_.text() + "/-/ready"}));
            return true;
        } catch (const std::exception&) {
            return false;
        }
    };
    if (!wait_for(ready)) throw std::runtime_error("prometheus does not get ready");
}

std::string Prometheus::data(const std::string& path) const {
    const auto answer = json::parse(curl({"http://" + address_.text() + "/api/v1/" + path}));
    return json::serialize(answer.at("data"));
}

std::map<std::string, double> Prometheus::query(const std::string& expression) const {
    // A refusal has its words in the body.
    const auto answer =
        json::parse(curl({"--no-fail", "--get", "--data-urlencode", "query=" + expression,
                          "http://" + address_.text() + "/api/v1/query"}));
    if (answer.at("status") != "success")
        throw std::runtime_error("prometheus: " + json::serialize(answer.at("error")) + " in " +
                                 expression);
    std::map<std::string, double> values;
    for (const auto& result : answer.at("data").at("result").as_array()) {
        std::string labels;
        for (const auto& [name, value] : result.at("metric").as_object()) {
            labels += labels.empty() ? "" : ",";
            labels += std::string(name) + "=" + json::serialize(value);
        }
        values["{" + labels + "}"] =
            std::strtod(result.at("value").at(1).as_string().c_str(), nullptr);
    }
    return values;
}

std::optional<double> Prometheus::value(const std::string& expression) const {
    const auto values = query(expression);
    if (values.size() != 1) return std::nullopt;
    return values.begin()->second;
}

}  // namespace penstock::test
