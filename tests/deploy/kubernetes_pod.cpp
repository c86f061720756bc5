// A pod as deploy/kubernetes says it, laid out as the kubelet does, with the cluster's name server,
// changes of its volumes, probes and its end.
#include <gtest/gtest.h>

#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>

#include <boost/json/serialize.hpp>

#include "tests/deploy/contained.hpp"
#include "tests/deploy/dockerfile.hpp"
#include "tests/deploy/manifests.hpp"
#include "tests/support/dns_server.hpp"
#include "tests/support/echo_server.hpp"
#include "tests/support/netns.hpp"
#include "tests/support/pki.hpp"
#include "tests/support/tls_client.hpp"

namespace penstock::test {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

/// A ConfigMap or Secret as the kubelet mounts it: links to files behind a link that is swapped.
class ProjectedVolume {
public:
    ProjectedVolume(fs::path folder, mode_t mode, gid_t group)
        : folder_(std::move(folder)), mode_(mode), group_(group) {
        fs::create_directory(folder_);
        fs::permissions(folder_, fs::perms(0755));
    }
    void update(const std::map<std::string, std::string>& files) {
        const auto name = "..version_" + std::to_string(++version_);
        const auto old =
            fs::exists(folder_ / "..data") ? fs::read_symlink(folder_ / "..data") : fs::path();
        fs::create_directory(folder_ / name);
        fs::permissions(folder_ / name, fs::perms(0755));
        for (const auto& [file, content] : files) {
            const auto path = folder_ / name / file;
            std::ofstream(path) << content;
            fs::permissions(path, fs::perms(mode_));
            if (::chown(path.c_str(), 0, group_) != 0) throw std::runtime_error("chown needs root");
        }
        fs::create_directory_symlink(name, folder_ / "..data_tmp");
        fs::rename(folder_ / "..data_tmp", folder_ / "..data");
        for (const auto& [file, content] : files)
            if (!fs::exists(folder_ / file)) fs::create_symlink("..data/" + file, folder_ / file);
        if (!old.empty()) fs::remove_all(folder_ / old);
    }
    [[nodiscard]] std::string path() const { return folder_.string(); }

private:
    fs::path folder_;
    mode_t mode_;
    gid_t group_;
    int version_ = 0;
};

/// A pod of a Deployment or DaemonSet, on a network of its own with two backends and a name server.
class PodTest : public ::testing::Test {
protected:
    PodTest() {
        fs::permissions(directory_.path(), fs::perms(0755));
        for (const auto* address : {"10.1.0.11/32", "10.1.0.12/32"})
            run_program({"ip", "address", "add", address, "dev", "lo"});
        first_.emplace("10.1.0.11:8088");
        second_.emplace("10.1.0.12:8088");
        names_.emplace(answering({"10.1.0.11"}), std::uint16_t{53});
        const auto pair = pki_.server("www.example.com");
        secret_.update({{"tls.crt", pair.cert_pem}, {"tls.key", pair.key_pem}});
    }

    /// The headless Service has these addresses; nobody has another name.
    static DnsServer::Script answering(const std::vector<std::string>& addresses) {
        return [addresses](const std::string& name, std::uint16_t type, bool) {
            DnsServer::Reply reply;
            if (name != "penstock-backends.shop.svc.cluster.local") {
                reply.rcode = 3;
            } else if (type == DnsServer::a) {
                for (const auto& address : addresses)
                    reply.answers.push_back(DnsServer::ipv4(address, 30));
            }
            return reply;
        };
    }

    /// The ConfigMap as it is, but for the backends' port: they are on the same machine here.
    [[nodiscard]] static std::string config_of(const Manifests& manifests) {
        return changed(manifests.config(), {{"port = 8080", "port = 8088"}});
    }

    [[nodiscard]] ContainerOptions options_of(const json::value& workload) {
        const auto& spec = workload.at("spec").at("template").at("spec");
        const auto& context = spec.at("securityContext");
        ContainerOptions options{.root = image_root(),
                                 .uid = static_cast<uid_t>(context.at("runAsUser").as_int64()),
                                 .gid = static_cast<gid_t>(context.at("runAsGroup").as_int64()),
                                 .tmpfs = {}};
        const auto resolv =
            directory_.write("resolv.conf",
                             "search shop.svc.cluster.local svc.cluster.local cluster.local\n"
                             "nameserver 127.0.0.1\noptions ndots:5\n");
        fs::permissions(resolv, fs::perms(0644));
        options.mounts = {{resolv, "/etc/resolv.conf"}};
        for (const auto& mount : container_of(workload).at("volumeMounts").as_array()) {
            const auto to = text(mount.at("mountPath"));
            for (const auto& volume : spec.at("volumes").as_array()) {
                const auto& fields = volume.as_object();
                if (fields.at("name") != mount.at("name")) continue;
                if (fields.contains("configMap")) options.mounts.emplace_back(map_.path(), to);
                if (fields.contains("secret")) options.mounts.emplace_back(secret_.path(), to);
                if (fields.contains("emptyDir")) options.tmpfs.push_back(to + ":mode=777");
            }
        }
        for (const auto& variable : container_of(workload).at("env").as_array()) {
            const auto* value = variable.as_object().if_contains("value");
            options.environment[text(variable.at("name"))] = value ? text(*value) : "shop";
        }
        return options;
    }

    /// ENTRYPOINT of the image and `args` of the pod.
    [[nodiscard]] static std::vector<std::string> command_of(const json::value& workload) {
        auto words = Dockerfile(PENSTOCK_DEPLOY "/container/Dockerfile").last_words("ENTRYPOINT");
        for (const auto& word : container_of(workload).at("args").as_array())
            words.push_back(text(word));
        return words;
    }

    /// A pod of it, with the ConfigMap as it comes.
    [[nodiscard]] Container start(const Manifests& manifests, const json::value& workload) {
        map_.update({{"penstock.toml", config_of(manifests)}});
        return {command_of(workload), options_of(workload)};
    }

    /// The Deployment, and a pod of it that is ready.
    struct Deployed {
        explicit Deployed(PodTest& cluster) : pod(cluster.start(manifests, deployment)) {
            pod.wait_ready();
        }
        const Manifests manifests{"deployment"};
        const json::value& deployment = manifests.get("Deployment");
        Container pod;
    };

    /// The status that a probe of the manifest gets.
    [[nodiscard]] static int probe(const json::value& workload, const std::string& which) {
        const auto& get = container_of(workload).at(which + "Probe").at("httpGet");
        const auto url =
            "http://127.0.0.1:" + std::to_string(port_named(workload, text(get.at("port")))) +
            text(get.at("path"));
        return std::stoi(run_program({"curl", "--disable", "--noproxy", "*", "--silent", "--output",
                                      "/dev/null", "--write-out", "%{http_code}", url}));
    }

    [[nodiscard]] static Address at(int port) {
        return Address::parse("127.0.0.1:" + std::to_string(port));
    }
    [[nodiscard]] static Socket connect(int port) {
        auto socket = Socket::connect(at(port));
        return socket ? *std::move(socket) : Socket{};
    }
    static bool echoes(Socket& socket) {
        return socket.fd() >= 0 && socket.send("hello") && socket.receive_text(5) == "hello";
    }
    [[nodiscard]] TlsClientOptions tls() const {
        return {.server_name = "www.example.com", .ca_file = pki_.ca_file()};
    }

    TempDir directory_;
    ScopedNetns network_;
    std::optional<EchoServer> first_, second_;
    std::optional<DnsServer> names_;
    Pki pki_{directory_};
    ProjectedVolume map_{directory_.path() / "map", 0644, 0};
    ProjectedVolume secret_{directory_.path() / "secret", 0440, 65532};
};

TEST_F(PodTest, serves_probes_and_configuration_as_the_manifests_say) {
    Deployed here(*this);
    auto& [manifests, deployment, pod] = here;
    for (const auto* which : {"startup", "liveness", "readiness"})
        EXPECT_EQ(probe(deployment, which), 200) << which;
    auto plain = connect(port_named(deployment, "http"));
    EXPECT_TRUE(echoes(plain)) << pod.errors();
    TlsClient encrypted(tls());
    EXPECT_TRUE(encrypted.open(at(port_named(deployment, "https"))) && encrypted.ping());
    const auto check = pod.exec({"/usr/bin/penstock", "check", "--strict"});
    EXPECT_EQ(check.exit_status, 0) << check.output << check.errors;
    EXPECT_EQ(pod.status("CapEff"), "0000000000000000");
}

TEST_F(PodTest, follows_names_and_volumes_without_closing_anything) {
    Deployed here(*this);
    auto& [manifests, deployment, pod] = here;
    const int port = port_named(deployment, "http");
    const int tls_port = port_named(deployment, "https");
    auto plain = connect(port);
    ASSERT_TRUE(echoes(plain)) << pod.errors();
    TlsClient encrypted(tls());
    ASSERT_TRUE(encrypted.open(at(tls_port)) && encrypted.ping());

    // A pod comes: least_connections sends the next clients to it.
    names_->set(answering({"10.1.0.11", "10.1.0.12"}));
    std::vector<Socket> more;
    EXPECT_TRUE(wait_for([&] {
        more.push_back(connect(port));
        return echoes(more.back()) && second_->open() > 0;
    })) << pod.errors();

    // `kubectl apply` of another ConfigMap; the kubelet swaps the link.
    map_.update({{"penstock.toml", changed(config_of(manifests),
                                           {{"bind = \":${HTTP_PORT:-8080}\"",
                                             "bind = [\":${HTTP_PORT:-8080}\", \":8090\"]"}})}});
    EXPECT_TRUE(wait_for([&] {
        auto socket = connect(8090);
        return echoes(socket);
    })) << pod.errors();

    // The certificate is renewed, by another authority at that.
    Pki renewed_by(directory_, "renewed");
    const auto pair = renewed_by.server("www.example.com");
    secret_.update({{"tls.crt", pair.cert_pem}, {"tls.key", pair.key_pem}});
    EXPECT_TRUE(wait_for([&] {
        TlsClient client({.server_name = "www.example.com", .ca_file = renewed_by.ca_file()});
        return client.open(at(tls_port)) && client.ping();
    })) << pod.errors();

    EXPECT_TRUE(echoes(plain)) << "a connection from before the changes is lost";
    EXPECT_TRUE(encrypted.ping()) << "a connection with the old certificate is lost";

    // The first pod goes: its sessions have their time, and clients are no longer sent to it.
    names_->set(answering({"10.1.0.12"}));
    EXPECT_TRUE(wait_for([&] {
        return pod.exec({"/usr/bin/penstock", "events"}).output.contains("dns removed:");
    })) << pod.errors();
    EXPECT_EQ(plain.wait_end(), End::fin);
    for (auto& socket : more) socket.finish();
}

TEST_F(PodTest, is_not_ready_without_backends_and_lives_on) {
    Deployed here(*this);
    auto& [manifests, deployment, pod] = here;
    EXPECT_TRUE(wait_for([&] { return probe(deployment, "readiness") == 200; })) << pod.errors();
    first_.reset();
    EXPECT_TRUE(wait_for([&] { return probe(deployment, "readiness") == 503; })) << pod.errors();
    EXPECT_EQ(probe(deployment, "liveness"), 200) << "it would be restarted for nothing";
    first_.emplace("10.1.0.11:8088");
    EXPECT_TRUE(wait_for([&] { return probe(deployment, "readiness") == 200; })) << pod.errors();
}

TEST_F(PodTest, end_is_announced_while_clients_still_come) {
    Deployed here(*this);
    auto& [manifests, deployment, pod] = here;
    const int port = port_named(deployment, "http");
    auto before = connect(port);
    ASSERT_TRUE(echoes(before)) << pod.errors();
    const auto begin = Clock::now();
    pod.signal(SIGTERM);
    EXPECT_TRUE(wait_for([&] { return probe(deployment, "readiness") == 503; }));
    EXPECT_EQ(probe(deployment, "liveness"), 200) << "the kubelet would restart it";
    auto after = connect(port);
    EXPECT_TRUE(echoes(after)) << "a client that came in the meantime is lost";
    EXPECT_TRUE(wait_for([&] { return !Socket::connect(at(port), {}, 1s).has_value(); }, 60s));
    EXPECT_GE(since(begin), std::chrono::seconds(
                                seconds_in(manifests.config(), "shutdown_delay = \"([0-9]+)s\"")));
    EXPECT_TRUE(echoes(before) && echoes(after)) << "connections may still end by themselves";
    before.finish();
    after.finish();
    const auto status = pod.wait_exit();
    ASSERT_TRUE(status);
    EXPECT_EQ(*status, 0) << pod.errors();
}

TEST_F(PodTest, daemonset_listens_on_ports_of_its_node_once_the_node_allows_it) {
    const Manifests manifests("daemonset");
    const auto& daemonset = manifests.get("DaemonSet");
    ASSERT_EQ(json::serialize(daemonset.at("spec").at("template").at("spec").at("hostNetwork")),
              "true");
    ASSERT_EQ(port_named(daemonset, "http"), 80);
    ASSERT_EQ(port_named(daemonset, "https"), 443);
    ScopedNetns::set("net/ipv4/ip_unprivileged_port_start", "1024");
    {
        Container refused = start(manifests, daemonset);
        const auto status = refused.wait_exit();
        ASSERT_TRUE(status);
        EXPECT_NE(*status, 0);
        EXPECT_TRUE(refused.errors().contains(":80")) << refused.errors();
    }
    run_program({"sysctl", "-p", PENSTOCK_DEPLOY "/kubernetes/daemonset/90-penstock-ports.conf"});
    Container pod = start(manifests, daemonset);
    pod.wait_ready();
    auto plain = connect(80);
    EXPECT_TRUE(echoes(plain)) << pod.errors();
    TlsClient encrypted(tls());
    EXPECT_TRUE(encrypted.open(at(443)) && encrypted.ping());
    for (const auto* which : {"startup", "liveness", "readiness"})
        EXPECT_EQ(probe(daemonset, which), 200) << which << " comes from the node itself";
    // Figures are for Prometheus's network and for the node; 10.1.0.12 is in the former.
    const auto from = [](const std::string& source) {
        auto socket = Socket::connect(at(9901), {.source = source});
        return socket && socket->send("GET /metrics HTTP/1.1\r\nHost: node\r\n\r\n") &&
               socket->receive_text(12) == "HTTP/1.1 200";
    };
    run_program({"ip", "address", "add", "203.0.113.9/32", "dev", "lo"});
    EXPECT_TRUE(from("10.1.0.12:0"));
    EXPECT_FALSE(from("203.0.113.9:0")) << "figures for everybody";
}

}  // namespace
}  // namespace penstock::test
