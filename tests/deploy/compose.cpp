// deploy/container/compose.yaml: valid, and its files in use: the proxy in front of three real
// nginx, watched by what Prometheus is told.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <regex>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "tests/deploy/contained.hpp"
#include "tests/deploy/dockerfile.hpp"
#include "tests/servers/curl.hpp"
#include "tests/servers/prometheus.hpp"
#include "tests/servers/server_process.hpp"
#include "tests/support/netns.hpp"

namespace penstock::test {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

const std::string folder = PENSTOCK_DEPLOY "/container";

/// compose.yaml as docker-compose understands it.
const json::value& composed() {
    static const json::value value =
        json::parse(yaml_to_json(run_program(
                        {"docker-compose", "--file", folder + "/compose.yaml", "config"})))
            .as_array()
            .at(0);
    return value;
}

std::string text(const json::value& value) { return std::string(value.as_string()); }

/// Where a volume of a service comes from and goes to: FROM:TO[:ro].
struct Volume {
    std::string from;
    std::string to;
    bool read_only = false;
};

std::vector<Volume> volumes_of(const json::value& service) {
    std::vector<Volume> found;
    const std::regex form("([^:]+):([^:]+)(:(ro|rw))?");
    const auto* list = service.as_object().if_contains("volumes");
    if (list == nullptr) return found;
    for (const auto& volume : list->as_array()) {
        std::smatch parts;
        const auto words = text(volume);
        if (!std::regex_match(words, parts, form)) throw std::runtime_error("volume " + words);
        found.push_back({parts[1], parts[2], parts[4] == "ro"});
    }
    return found;
}

/// What is mounted at this place of a service.
std::string mounted(const std::string& service, const std::string& to) {
    for (const auto& volume : volumes_of(composed().at("services").at(service)))
        if (volume.to == to) return volume.from;
    throw std::runtime_error("nothing is mounted at " + to + " of " + service);
}

TEST(Compose, every_mounted_file_is_there_and_every_image_has_a_version) {
    const auto& services = composed().at("services").as_object();
    EXPECT_EQ(services.size(), 6U);
    for (const auto& [name, service] : services) {
        const auto image = text(service.at("image"));
        EXPECT_TRUE(std::regex_match(image, std::regex("[a-z/]+:v?[0-9]+\\.[0-9]+\\.[0-9]+")))
            << image;
        for (const auto& volume : volumes_of(service)) {
            if (!volume.from.starts_with('/')) {
                EXPECT_TRUE(composed().at("volumes").as_object().contains(volume.from)) << name;
                continue;
            }
            EXPECT_TRUE(fs::exists(volume.from)) << name << ": " << volume.from;
            EXPECT_TRUE(volume.read_only) << name << ": " << volume.from;
        }
    }
}

TEST(Compose, proxy_has_the_limits_that_its_test_has) {
    const auto& proxy = composed().at("services").at("penstock");
    EXPECT_EQ(json::serialize(proxy.at("read_only")), "true");
    EXPECT_EQ(json::serialize(proxy.at("cap_drop")), R"(["ALL"])");
    EXPECT_EQ(json::serialize(proxy.at("security_opt")), R"(["no-new-privileges:true"])");
    EXPECT_EQ(json::serialize(proxy.at("tmpfs")), R"(["/run/penstock"])");
    // A thread counts as much as a process: as many workers as `workers` may be, and some more.
    EXPECT_GE(proxy.at("pids_limit").as_int64(), 1024 + 32);
    const auto context = text(proxy.at("build").at("context"));
    EXPECT_TRUE(fs::equivalent(context, PENSTOCK_SOURCE));
    EXPECT_TRUE(fs::equivalent(context + "/" + text(proxy.at("build").at("dockerfile")),
                               folder + "/Dockerfile"));
    const Dockerfile dockerfile(folder + "/Dockerfile");
    const auto tag = text(proxy.at("image")).substr(std::string("penstock:").size());
    EXPECT_TRUE(dockerfile.last("LABEL").contains("image.version=\"" + tag + "\""));
    // shutdown_delay is none; wait and close_over, with some seconds more.
    const auto config = read_file(mounted("penstock", "/etc/penstock") + "/penstock.toml");
    std::smatch drain;
    ASSERT_TRUE(std::regex_search(
        config, drain, std::regex("drain = \\{ wait = \"([0-9]+)s\", close_over = \"([0-9]+)s\"")));
    std::smatch grace;
    const auto period = text(proxy.at("stop_grace_period"));
    ASSERT_TRUE(std::regex_match(period, grace, std::regex("([0-9]+)s")));
    EXPECT_GE(std::stoi(grace[1]), std::stoi(drain[1]) + std::stoi(drain[2]) + 5);
}

TEST(Compose, proxy_serves_three_backends_and_prometheus_finds_it) {
    ScopedNetns network;
    const TempDir directory;
    fs::permissions(directory.path(), fs::perms(0755));
    // The three names lead to three addresses, each with a server of that configuration.
    const auto backend = read_file(mounted("a", "/etc/nginx/conf.d/default.conf"));
    std::string hosts = "127.0.0.1 localhost\n";
    std::vector<std::unique_ptr<ServerProcess>> servers;
    for (const auto& [name, address] : std::map<std::string, std::string>{
             {"a", "127.0.0.11"}, {"b", "127.0.0.12"}, {"c", "127.0.0.13"}}) {
        hosts += address + " " + name + "\n";
        const auto main = directory.write(
            name + ".conf", "daemon off; master_process off; error_log stderr; pid " +
                                directory.path(name) + ".pid; events {} http { access_log off;" +
                                changed(backend, {{"listen 8080", "listen " + address + ":8080"}}) +
                                "}");
        servers.push_back(std::make_unique<ServerProcess>(
            ServerProcess::Command{.argv = {PENSTOCK_TEST_NGINX, "-c", main},
                                   .accepts_on = Address::parse(address + ":8080")}));
    }
    fs::create_directory(directory.path("penstock"));
    // The backends have the port as well, at other addresses of this one machine.
    const auto config =
        directory.write("penstock/penstock.toml",
                        changed(read_file(mounted("penstock", "/etc/penstock") + "/penstock.toml"),
                                {{"bind = \":8080\"", "bind = \"127.0.0.1:8080\""}}));
    const auto names = directory.write("hosts", hosts);
    for (const auto& file : {config, names}) fs::permissions(file, fs::perms(0644));
    fs::permissions(directory.path("penstock"), fs::perms(0755));

    Container container(
        {"/usr/bin/penstock", "run"},
        {.root = image_root(),
         .tmpfs = {text(composed().at("services").at("penstock").at("tmpfs").at(0))},
         .mounts = {{directory.path("penstock"), "/etc/penstock"}, {names, "/etc/hosts"}}});
    container.wait_ready();
    for (int i = 0; i < 12; ++i)
        EXPECT_TRUE(curl({"http://127.0.0.1:8080/"}).ends_with("\n")) << "the backend's own name";
    const MetricsPage page(container.admin().get("/metrics").body);
    std::size_t up = 0;
    for (const auto& [sample, value] : page.samples())
        if (sample.starts_with("penstock_backend_up{") && value == 1) ++up;
    EXPECT_EQ(up, 3U) << "of a, b, c";

    // Prometheus is told of this very port by the name of the service, and reads the rules.
    fs::create_directory(directory.path("prometheus"));
    const auto told = read_file(mounted("prometheus", "/etc/prometheus/prometheus.yml"));
    const auto target = changed(told, {{"\"penstock:9901\"", "\"127.0.0.1:9901\""}});
    fs::create_directory_symlink(mounted("prometheus", "/etc/prometheus/rules"),
                                 directory.path("prometheus/rules"));
    const Prometheus prometheus(fs::path(directory.write("prometheus/prometheus.yml", target)));
    EXPECT_TRUE(wait_for([&] { return prometheus.value("up{job=\"penstock\"}") == 1.0; }));
    EXPECT_TRUE(wait_for([&] {
        return prometheus.value("sum(penstock_upstream_backends_eligible{job=\"penstock\"})") ==
               3.0;
    }));
    EXPECT_TRUE(prometheus.data("rules").contains("PenstockDown"));

    // Without backends it is alive, but not ready.
    const auto ready = [&] { return container.exec({"/usr/bin/penstock", "ready"}); };
    EXPECT_EQ(ready().exit_status, 0);
    servers.clear();
    EXPECT_TRUE(wait_for([&] { return ready().output.contains("upstream web: none of 3"); }))
        << ready().output << ready().errors;
    EXPECT_EQ(container.exec({"/usr/bin/penstock", "ready", "--live"}).exit_status, 0);
}

TEST(Compose, grafana_finds_prometheus_and_the_dashboards) {
    const auto folder_of = mounted("grafana", "/etc/grafana/provisioning");
    const auto provider =
        json::parse(yaml_to_json(read_file(folder_of + "/dashboards/penstock.yml")));
    const auto path = text(provider.at(0).at("providers").at(0).at("options").at("path"));
    EXPECT_TRUE(fs::exists(mounted("grafana", path) + "/penstock.json"));
    const auto source =
        json::parse(yaml_to_json(read_file(folder_of + "/datasources/prometheus.yml")));
    EXPECT_EQ(text(source.at(0).at("datasources").at(0).at("url")), "$PROMETHEUS_URL");
    EXPECT_EQ(text(composed().at("services").at("grafana").at("environment").at("PROMETHEUS_URL")),
              "http://prometheus:9090");
}

}  // namespace
}  // namespace penstock::test
