#include "tests/servers/prometheus.hpp"

#include <exception>
#include <fstream>
#include <stdexcept>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "tests/servers/curl.hpp"
#include "tests/support/deadline.hpp"

namespace penstock::test {

namespace json = boost::json;

namespace {

// A port that was free a moment ago: the server takes none from us.
Address free_port() {
    const UniqueFd taken = listen_on(Address::parse("127.0.0.1:0"));
    return Address::local_of(taken.get());
}

}  // namespace

Prometheus::Prometheus(const Address& target) : address_(free_port()) {
    const auto file = directory_.path() / "prometheus.yml";
    std::ofstream(file) << "global:\n  scrape_interval: 1s\nscrape_configs:\n"
                           "  - job_name: penstock\n    static_configs:\n      - targets: ['"
                        << target.text() << "']\n";
    process_.emplace(ServerProcess::Command{
        .argv = {"prometheus", "--config.file=" + file.string(),
                 "--storage.tsdb.path=" + (directory_.path() / "data").string(),
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

std::map<std::string, double> Prometheus::query(const std::string& expression) const {
    const auto answer = json::parse(curl({"--get", "--data-urlencode", "query=" + expression,
                                          "http://" + address_.text() + "/api/v1/query"}));
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
