#pragma once

#include <string>

#include <boost/json/value.hpp>

/// What `kubectl kustomize` makes of the folders of deploy/kubernetes.
namespace penstock::test {

[[nodiscard]] std::string text(const boost::json::value& value);

/// What `kubectl apply -k` would send for a folder. Who asks for what is not there gets an
/// exception.
class Manifests {
public:
    explicit Manifests(const std::string& folder);

    [[nodiscard]] const boost::json::value& get(const std::string& kind,
                                                const std::string& name = "penstock") const;
    /// The proxy's configuration, in its ConfigMap.
    [[nodiscard]] std::string config() const;

private:
    boost::json::value documents_;
};

/// The one container of a Deployment or DaemonSet.
[[nodiscard]] const boost::json::value& container_of(const boost::json::value& workload);
/// Of the container's ports, the one with that name.
[[nodiscard]] int port_named(const boost::json::value& workload, const std::string& name);
/// The number that a form with one group finds in a configuration.
[[nodiscard]] int seconds_in(const std::string& config, const std::string& form);

}  // namespace penstock::test
