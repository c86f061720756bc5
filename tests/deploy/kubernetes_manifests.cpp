// What the manifests of deploy/kubernetes say of each other, of the image and of the configuration.
#include <gtest/gtest.h>

#include <algorithm>
#include <regex>
#include <string>
#include <tuple>
#include <vector>

#include <boost/json/serialize.hpp>

#include "tests/deploy/manifests.hpp"
#include "tests/support/proxy_process.hpp"

namespace penstock::test {
namespace {

namespace json = boost::json;

/// Whether a selector's labels are all among those of the pods.
bool selects(const json::value& labels, const json::value& workload) {
    const auto& pod = workload.at("spec").at("template").at("metadata").at("labels").as_object();
    for (const auto& [key, value] : labels.as_object()) {
        const auto* found = pod.if_contains(key);
        if (found == nullptr || *found != value) return false;
    }
    return !labels.as_object().empty();
}

class ManifestTest : public ::testing::TestWithParam<std::string> {
protected:
    Manifests manifests_{GetParam()};
    const json::value& workload_ =
        manifests_.get(GetParam() == "daemonset" ? "DaemonSet" : "Deployment");
    const json::value& pod_ = workload_.at("spec").at("template").at("spec");
};

TEST_P(ManifestTest, selectors_ports_and_volumes_fit_together) {
    EXPECT_TRUE(selects(workload_.at("spec").at("selector").at("matchLabels"), workload_));
    for (const auto* name : {"penstock", "penstock-metrics"}) {
        const auto& service = manifests_.get("Service", name);
        EXPECT_TRUE(selects(service.at("spec").at("selector"), workload_)) << name;
        EXPECT_FALSE(service.at("metadata").as_object().contains("namespace"))
            << "the README has several proxies in several namespaces";
        for (const auto& port : service.at("spec").at("ports").as_array())
            EXPECT_NO_THROW(std::ignore = port_named(workload_, text(port.at("targetPort"))));
    }
    // The name in the configuration is that of a Service without an address of its own, whose port
    // is that of the configuration.
    const auto& backends = manifests_.get("Service", "penstock-backends");
    EXPECT_EQ(text(backends.at("spec").at("clusterIP")), "None");
    EXPECT_TRUE(manifests_.config().contains("\"penstock-backends.${POD_NAMESPACE}.svc."));
    EXPECT_TRUE(manifests_.config().contains(
        "port = " + json::serialize(backends.at("spec").at("ports").at(0).at("port")) + "\n"));
    EXPECT_FALSE(selects(backends.at("spec").at("selector"), workload_)) << "a proxy of itself";
    // Links are swapped in whole folders only.
    for (const auto& mount : container_of(workload_).at("volumeMounts").as_array())
        EXPECT_FALSE(mount.as_object().contains("subPath"));
    EXPECT_TRUE(manifests_.config().contains("watch_config = \"apply\""));
    const Manifests monitoring("monitoring");
    const auto& monitor = monitoring.get("ServiceMonitor").at("spec");
    const auto& wanted = monitor.at("selector").at("matchLabels").as_object();
    const auto labels_fit = [&](const char* name) {
        const auto& labels =
            manifests_.get("Service", name).at("metadata").at("labels").as_object();
        return std::ranges::all_of(wanted, [&](const auto& label) {
            const auto* found = labels.if_contains(label.key());
            return found != nullptr && *found == label.value();
        });
    };
    EXPECT_TRUE(labels_fit("penstock-metrics"));
    EXPECT_FALSE(labels_fit("penstock")) << "every pod would be scraped twice";
    EXPECT_EQ(
        monitor.at("endpoints").at(0).at("port"),
        manifests_.get("Service", "penstock-metrics").at("spec").at("ports").at(0).at("name"));
}

TEST_P(ManifestTest, image_has_the_version_of_the_program) {
    const auto version = run_penstock({"-V"}).output;  // penstock 0.1.0
    EXPECT_EQ(text(container_of(workload_).at("image")),
              "penstock:" + version.substr(9, version.find('\n') - 9));
}

TEST_P(ManifestTest, time_for_the_end_is_longer_than_what_it_takes) {
    const auto config = manifests_.config();
    const int delay = seconds_in(config, "shutdown_delay = \"([0-9]+)s\"");
    const int wait = seconds_in(config, "\ndrain = \\{ wait = \"([0-9]+)s\"");
    const int over = seconds_in(config, "\ndrain = .*close_over = \"([0-9]+)s\"");
    EXPECT_GT(pod_.at("terminationGracePeriodSeconds").as_int64(), delay + wait + over + 5);
    const auto& ready = container_of(workload_).at("readinessProbe");
    EXPECT_LT(ready.at("periodSeconds").as_int64() * ready.at("failureThreshold").as_int64(),
              delay / 2)
        << "routes are changed only when it has been seen not to be ready";
}

TEST_P(ManifestTest, backends_leave_in_the_times_that_the_readme_says) {
    const auto config = manifests_.config();
    const auto upstream = config.substr(config.find("[[upstream]]"));
    const int leaves = seconds_in(upstream, "max_ttl = \"([0-9]+)s\"") +
                       seconds_in(upstream, "removal_delay = \"([0-9]+)s\"");
    const int wait = seconds_in(upstream, "drain = \\{ wait = \"([0-9]+)s\"");
    const int over = seconds_in(upstream, "drain = .*close_over = \"([0-9]+)s\"");
    const auto page = read_file(PENSTOCK_DEPLOY "/kubernetes/README.md");
    const auto words = std::regex_replace(page, std::regex("\\s+"), " ");
    EXPECT_TRUE(words.contains("no more clients after " + std::to_string(leaves) + " s ("));
    EXPECT_TRUE(words.contains("have " + std::to_string(wait) +
                               " s to end, the rest is closed within " + std::to_string(over) +
                               " s"));
    const int pre_stop = seconds_in(words, "`preStop` that sleeps ([0-9]+) s");
    EXPECT_GT(pre_stop, leaves + wait + over);
}

TEST_P(ManifestTest, pod_has_no_rights) {
    EXPECT_EQ(json::serialize(pod_.at("automountServiceAccountToken")), "false");
    EXPECT_EQ(json::serialize(pod_.at("securityContext").at("runAsNonRoot")), "true");
    EXPECT_EQ(text(pod_.at("securityContext").at("seccompProfile").at("type")), "RuntimeDefault");
    const auto& context = container_of(workload_).at("securityContext");
    EXPECT_EQ(json::serialize(context.at("allowPrivilegeEscalation")), "false");
    EXPECT_EQ(json::serialize(context.at("readOnlyRootFilesystem")), "true");
    EXPECT_EQ(json::serialize(context.at("capabilities")), R"({"drop":["ALL"]})");
}

INSTANTIATE_TEST_SUITE_P(Kubernetes, ManifestTest, ::testing::Values("deployment", "daemonset"),
                         [](const auto& given) { return given.param; });

TEST(DeploymentManifests, a_change_loses_nobody_and_an_emptied_node_takes_one_at_a_time) {
    const Manifests manifests("deployment");
    const auto& deployment = manifests.get("Deployment");
    const auto& update = deployment.at("spec").at("strategy").at("rollingUpdate");
    EXPECT_EQ(update.at("maxUnavailable").as_int64(), 0);
    const auto& budget = manifests.get("PodDisruptionBudget").at("spec");
    EXPECT_TRUE(selects(budget.at("selector").at("matchLabels"), deployment));
    EXPECT_LT(budget.at("maxUnavailable").as_int64(),
              deployment.at("spec").at("replicas").as_int64());
    const auto& policy = manifests.get("NetworkPolicy").at("spec");
    EXPECT_TRUE(selects(policy.at("podSelector").at("matchLabels"), deployment));
    for (const auto& rule : policy.at("ingress").as_array())
        for (const auto& port : rule.at("ports").as_array())
            EXPECT_NO_THROW(std::ignore = port_named(deployment, text(port.at("port"))));
    const auto& to = policy.at("egress").at(1).at("to").at(0).at("podSelector").at("matchLabels");
    EXPECT_EQ(to, manifests.get("Service", "penstock-backends").at("spec").at("selector"));
}

}  // namespace
}  // namespace penstock::test
