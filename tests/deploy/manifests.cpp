#include "tests/deploy/manifests.hpp"

#include <regex>
#include <stdexcept>

#include <boost/json/parse.hpp>

#include "tests/deploy/contained.hpp"

namespace penstock::test {

namespace json = boost::json;

std::string text(const json::value& value) { return std::string(value.as_string()); }

Manifests::Manifests(const std::string& folder)
    : documents_(json::parse(yaml_to_json(run_program(
          {"kubectl", "kustomize", std::string(PENSTOCK_DEPLOY "/kubernetes/") + folder})))) {}

const json::value& Manifests::get(const std::string& kind, const std::string& name) const {
    for (const auto& one : documents_.as_array())
        if (text(one.at("kind")) == kind && text(one.at("metadata").at("name")) == name) return one;
    throw std::runtime_error("no " + kind + " " + name);
}

std::string Manifests::config() const {
    return text(get("ConfigMap").at("data").at("penstock.toml"));
}

const json::value& container_of(const json::value& workload) {
    return workload.at("spec").at("template").at("spec").at("containers").at(0);
}

int port_named(const json::value& workload, const std::string& name) {
    for (const auto& port : container_of(workload).at("ports").as_array())
        if (text(port.at("name")) == name)
            return static_cast<int>(port.at("containerPort").as_int64());
    throw std::runtime_error("no port " + name);
}

int seconds_in(const std::string& config, const std::string& form) {
    std::smatch found;
    if (!std::regex_search(config, found, std::regex(form)))
        throw std::runtime_error("no " + form + " in\n" + config);
    return std::stoi(found[1]);
}

}  // namespace penstock::test
