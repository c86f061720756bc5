// deploy/container: the image's file system, made by the script that the Dockerfile runs, with the
// program as the Dockerfile starts it, under the limits of compose.yaml.
#include <gtest/gtest.h>

#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include "tests/deploy/contained.hpp"
#include "tests/deploy/dockerfile.hpp"
#include "tests/support/echo_server.hpp"
#include "tests/support/netns.hpp"
#include "tests/support/socket.hpp"

namespace penstock::test {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

const std::string folder = PENSTOCK_DEPLOY "/container";

/// The limits of compose.yaml, as the engine understands them.
ContainerLimits composed_limits() {
    const auto proxy = json::parse(yaml_to_json(read_file(folder + "/compose.yaml")))
                           .as_array()
                           .at(0)
                           .at("services")
                           .at("penstock");
    std::smatch memory;
    const std::string limit(proxy.at("mem_limit").as_string());
    if (!std::regex_match(limit, memory, std::regex("([0-9]+)m")))
        throw std::runtime_error("mem_limit is not in megabytes: " + limit);
    return {.memory = std::stoull(memory[1]) << 20U,
            .processes = proxy.at("pids_limit").to_number<std::uint64_t>(),
            .descriptors = proxy.at("ulimits").at("nofile").to_number<std::uint64_t>()};
}

/// The one `--tmpfs` that README.md tells to run it with.
std::string printed_tmpfs() {
    const auto page = read_file(folder + "/README.md");
    std::smatch found;
    if (!std::regex_search(page, found, std::regex("--read-only --tmpfs (\\S+) ")))
        throw std::runtime_error("README.md does not say --tmpfs any more");
    return found[1];
}

void write_for_all(const fs::path& path, const std::string& text) {
    std::ofstream(path) << text;
    fs::permissions(path, fs::perms(0644));
}

/// What the engine would start: ENTRYPOINT with CMD, as USER.
std::vector<std::string> command_of(const Dockerfile& dockerfile) {
    auto words = dockerfile.last_words("ENTRYPOINT");
    const auto more = dockerfile.last_words("CMD");
    words.insert(words.end(), more.begin(), more.end());
    return words;
}

std::pair<uid_t, gid_t> user_of(const Dockerfile& dockerfile) {
    std::smatch found;
    const auto text = dockerfile.last("USER");
    if (!std::regex_match(text, found, std::regex("([0-9]+):([0-9]+)")))
        throw std::runtime_error("USER is not two numbers: " + text);
    return {std::stoul(found[1]), std::stoul(found[2])};
}

struct HealthCheck {
    milliseconds timeout;
    std::vector<std::string> command;
};

HealthCheck health_check_of(const Dockerfile& dockerfile) {
    std::smatch found;
    const auto text = dockerfile.last("HEALTHCHECK");
    if (!std::regex_match(text, found, std::regex("(.* )?--timeout=([0-9]+)s .*CMD (\\[.*\\])")))
        throw std::runtime_error("HEALTHCHECK has another form: " + text);
    return {std::chrono::seconds(std::stoul(found[2])), json_words(found[3])};
}

/// The network is the container's own; clients and backends of the tests are inside.
class ContainerTest : public ::testing::Test {
protected:
    [[nodiscard]] ContainerOptions options() const {
        const auto [uid, gid] = user_of(dockerfile_);
        return {.root = image_root(),
                .uid = uid,
                .gid = gid,
                .tmpfs = {printed_tmpfs()},
                .environment = {{"BACKEND", backend_.text()}},
                .cgroup = &cgroup_,
                .descriptors = limits_.descriptors};
    }
    [[nodiscard]] static Socket connect(const std::string& to = "127.0.0.1:8080") {
        auto socket = Socket::connect(Address::parse(to));
        if (!socket) return {};
        return *std::move(socket);
    }
    static bool echoes(Socket& socket, const std::string& text = "hello") {
        return socket.fd() >= 0 && socket.send(text) && socket.receive_text(text.size()) == text;
    }

    ScopedNetns network_;
    EchoServer backend_;
    const ContainerLimits limits_ = composed_limits();
    Cgroup cgroup_{limits_};
    Dockerfile dockerfile_{folder + "/Dockerfile"};
};

TEST_F(ContainerTest, serves_as_an_unprivileged_process_1) {
    Container container(command_of(dockerfile_), options());
    container.wait_ready();
    auto client = connect();
    EXPECT_TRUE(echoes(client)) << container.errors();
    const auto uid = std::to_string(user_of(dockerfile_).first);
    EXPECT_NE(uid, "0");
    EXPECT_EQ(container.status("Uid"), uid + "\t" + uid + "\t" + uid + "\t" + uid);
    EXPECT_TRUE(container.status("NSpid").ends_with("\t1")) << container.status("NSpid");
    for (const auto* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"})
        EXPECT_EQ(container.status(set), "0000000000000000") << set;
    EXPECT_EQ(container.status("NoNewPrivs"), "1");
    struct stat info{};
    ASSERT_EQ(::stat(container.inside("/run/penstock/admin.sock").c_str(), &info), 0);
    EXPECT_EQ(std::to_string(info.st_uid), uid);
    std::ofstream attempt(container.inside("/etc/penstock/mine"));
    EXPECT_FALSE(attempt) << "the root can be written, even by this test, which is root";
    const auto metrics = AdminClient("127.0.0.1:9901").get("/metrics");
    EXPECT_EQ(metrics.status, 200);
    EXPECT_EQ(AdminClient("127.0.0.1:9901").get("/api/v1/status").status, 403);
    const auto status = container.exec({"/usr/bin/penstock", "status", "--json"});
    EXPECT_EQ(status.exit_status, 0) << status.errors;
    const std::regex known("\"limit_bytes\":\\s*" + std::to_string(limits_.memory) + "\\D");
    EXPECT_TRUE(std::regex_search(status.output, known))
        << "the limit of its cgroup is not known: " << status.output;
    client.finish();
    EXPECT_TRUE(wait_for([&] { return container.output().contains("\"reason\":\"completed\""); }))
        << "the access log is not on standard output: " << container.output();
}

TEST_F(ContainerTest, limits_are_those_of_compose) {
    Container container(command_of(dockerfile_), options());
    container.wait_ready();
    EXPECT_EQ(cgroup_.content("pids.max"), std::to_string(limits_.processes) + "\n");
    const auto proc = "/proc/" + std::to_string(container.init());
    std::istringstream members(cgroup_.content("cgroup.procs"));
    EXPECT_EQ(std::count(std::istream_iterator<pid_t>(members), {}, container.init()),
              static_cast<std::ptrdiff_t>(cgroup_.members().size()));
    const auto limits = read_file(proc + "/limits");
    const auto has_descriptors = [&](std::uint64_t count) {
        const auto text = std::to_string(count);
        return std::regex_search(limits, std::regex("Max open files +" + text + " +" + text + " "));
    };
    if (has_descriptors(limits_.descriptors)) return;
    // Root of a machine that is a container itself may not be allowed to raise it.
    rlimit here{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &here), 0);
    std::cout << "NOT TESTED with the " << limits_.descriptors
              << " descriptors of compose.yaml: this machine allows " << here.rlim_max << "\n";
    EXPECT_LT(here.rlim_max, limits_.descriptors);
    EXPECT_TRUE(has_descriptors(here.rlim_max)) << limits;
}

TEST_F(ContainerTest, health_check_tells_the_living_from_the_stuck) {
    Container container(command_of(dockerfile_), options());
    container.wait_ready();
    const auto check = health_check_of(dockerfile_);
    const auto healthy = container.exec(check.command);
    EXPECT_EQ(healthy.exit_status, 0) << healthy.output << healthy.errors;
    EXPECT_EQ(container.exec({"/usr/bin/penstock", "drain"}).exit_status, 0);
    const auto ready = container.exec({"/usr/bin/penstock", "ready"});
    EXPECT_EQ(ready.exit_status, 1) << "draining is not ready";
    EXPECT_TRUE(ready.output.contains("draining")) << ready.output;
    EXPECT_EQ(container.exec(check.command).exit_status, 0) << "draining needs no restart";
    container.signal(SIGSTOP);
    EXPECT_NE(container.exec(check.command, check.timeout).exit_status, 0)
        << "it stands still and is called healthy";
    container.signal(SIGCONT);
    EXPECT_TRUE(wait_for([&] { return container.exec(check.command).exit_status == 0; }));
}

TEST_F(ContainerTest, change_in_the_mounted_folder_is_applied_by_itself) {
    const TempDir directory;
    fs::permissions(directory.path(), fs::perms(0755));
    const auto own = directory.path() / "penstock.toml";
    const auto text = read_file(folder + "/penstock.toml");
    write_for_all(own, text);
    auto with_folder = options();
    with_folder.mounts = {{directory.path().string(), "/etc/penstock"}};
    Container container(command_of(dockerfile_), with_folder);
    container.wait_ready();
    auto client = connect();
    ASSERT_TRUE(echoes(client));

    write_for_all(directory.path() / "new",
                  changed(text, {{"bind = \":8080\"", "bind = [\":8080\", \":8081\"]"}}));
    fs::rename(directory.path() / "new", own);
    EXPECT_TRUE(wait_for([&] {
        auto second = connect("127.0.0.1:8081");
        return echoes(second);
    })) << container.errors();
    EXPECT_TRUE(echoes(client)) << "a connection from before is lost";
}

TEST_F(ContainerTest, stop_signal_drains_and_ends_with_success) {
    // The drain waits for as long as it takes: what ends it is that nobody is left.
    const TempDir directory;
    fs::permissions(directory.path(), fs::perms(0755));
    write_for_all(
        directory.path() / "penstock.toml",
        changed(read_file(folder + "/penstock.toml"), {{"wait = \"6s\"", "wait = \"5m\""}}));
    auto patient = options();
    patient.mounts.emplace_back(directory.path().string(), "/etc/penstock");
    Container container(command_of(dockerfile_), patient);
    container.wait_ready();
    auto client = connect();
    ASSERT_TRUE(echoes(client));
    ASSERT_EQ(dockerfile_.last("STOPSIGNAL"), "SIGTERM");
    container.signal(SIGTERM);
    EXPECT_TRUE(wait_for([] {
        return !Socket::connect(Address::parse("127.0.0.1:8080"), {}, 1s).has_value();
    })) << "it goes on accepting";
    EXPECT_TRUE(echoes(client)) << "a connection is cut before its time";
    client.finish();
    EXPECT_EQ(client.wait_end(), End::fin);
    const auto status = container.wait_exit(promptly);
    ASSERT_TRUE(status) << "nothing is left, and it does not end";
    EXPECT_EQ(*status, 0) << container.errors();
}

TEST_F(ContainerTest, drain_fits_into_the_ten_seconds_of_docker_stop) {
    Container container(command_of(dockerfile_), options());
    container.wait_ready();
    auto client = connect();
    ASSERT_TRUE(echoes(client));
    container.signal(SIGTERM);
    const auto before = Clock::now();
    ASSERT_TRUE(container.wait_exit());
    EXPECT_GE(since(before), 5s) << "the connection was given no time";
    const auto config = read_file(folder + "/penstock.toml");
    EXPECT_TRUE(config.contains("drain = { wait = \"6s\", close_over = \"2s\" }")) << config;
}

TEST_F(ContainerTest, nothing_of_it_outlives_who_has_started_it) {
    pid_t init = -1;
    {
        const Container container(command_of(dockerfile_), options());
        init = container.init();
    }
    EXPECT_TRUE(wait_for([&] { return ::kill(init, 0) != 0; }));
    EXPECT_EQ(cgroup_.content("cgroup.procs"), "");
}

TEST_F(ContainerTest, upgrade_inside_is_refused_with_a_reason) {
    Container container(command_of(dockerfile_), options());
    container.wait_ready();
    const auto upgrade = container.exec({"/usr/bin/penstock", "upgrade"});
    EXPECT_EQ(upgrade.exit_status, 1);
    EXPECT_TRUE(upgrade.errors.contains("process 1 of a container")) << upgrade.errors;
    auto client = connect();
    EXPECT_TRUE(echoes(client)) << "it serves on";
}

TEST_F(ContainerTest, backends_with_public_certificates_are_verified_by_the_authorities_inside) {
    const auto& root = image_root();
    EXPECT_EQ(read_file(root + "/usr/lib/ssl/cert.pem"),
              read_file("/etc/ssl/certs/ca-certificates.crt"));
    EXPECT_TRUE(read_file(root + "/usr/lib/ssl/cert.pem").contains("BEGIN CERTIFICATE"));
    const auto link = fs::read_symlink(root + "/usr/lib/ssl/cert.pem");
    EXPECT_TRUE(link.is_relative()) << link << " leads out of the image";
}

TEST(ContainerImage, has_nothing_that_is_not_listed) {
    const auto& root = image_root();
    const std::regex listed(
        "/usr/bin/penstock|/etc/(passwd|group|nsswitch\\.conf)|/etc/penstock/penstock\\.toml"
        "|/etc/ssl/certs/ca-certificates\\.crt|/usr/lib/ssl/cert\\.pem|/lib|/lib64"
        "|/usr/lib(64)?/([^/]+/)?(ld-[^/]+|lib[^/]+)\\.so(\\.[0-9.]+)?"
        "|/usr/lib/[^/]+/libmariadb3/plugin/[a-z0-9_]+\\.so");
    std::uintmax_t size = 0;
    std::size_t programs = 0;
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
        const auto path = entry.path().string().substr(root.size());
        struct stat info{};
        ASSERT_EQ(::lstat(entry.path().c_str(), &info), 0);
        EXPECT_EQ(info.st_mode & (S_ISUID | S_ISGID), 0U) << path;
        if (entry.is_directory() && !entry.is_symlink()) {
            EXPECT_TRUE((info.st_mode & (S_IWOTH | S_ISVTX)) == 0 || path == "/tmp" ||
                        path == "/run/penstock")
                << path;
            continue;
        }
        EXPECT_TRUE(std::regex_match(path, listed)) << path << " is not on the list";
        EXPECT_TRUE(entry.is_symlink() || (info.st_mode & (S_IWGRP | S_IWOTH)) == 0) << path;
        if (entry.is_symlink()) continue;
        size += entry.file_size();
        programs += path.contains("bin/") ? 1 : 0;
    }
    EXPECT_EQ(programs, 1U) << "a shell, or any other program, has come along";
    std::cout << "the image has " << size / 1'000'000 << " MB\n";
    RecordProperty("image_megabytes", static_cast<int>(size / 1'000'000));
    if (!sanitized) {
        EXPECT_LT(size, 150'000'000U);
    }
}

TEST(ContainerImage, dockerfile_copies_what_is_there_and_starts_what_was_copied) {
    const Dockerfile dockerfile(folder + "/Dockerfile");
    ASSERT_EQ(dockerfile.stages().size(), 2U);
    EXPECT_EQ(dockerfile.stages().back().front().text, "scratch");
    EXPECT_TRUE(dockerfile.stages().front().front().text.starts_with("debian:12 "));
    // The script that this test has run makes the folder that becomes the image.
    const auto runs = dockerfile.all("RUN");
    EXPECT_EQ(runs.back(), "deploy/container/make_root.sh build/release/penstock /image");
    EXPECT_EQ(dockerfile.last("COPY"), "--from=build /image/ /");
    for (const auto& copy : dockerfile.all("COPY")) {
        if (copy.starts_with("--from")) continue;
        const auto source = copy.substr(0, copy.find(' '));
        EXPECT_TRUE(fs::exists(fs::path(PENSTOCK_SOURCE) / source)) << copy;
    }
    const auto& root = image_root();
    EXPECT_TRUE(fs::exists(root + dockerfile.last_words("ENTRYPOINT").front()));
    EXPECT_TRUE(fs::exists(root + health_check_of(dockerfile).command.front()));
    struct stat info{};
    ASSERT_EQ(::stat((root + "/run/penstock").c_str(), &info), 0);
    EXPECT_EQ(info.st_uid, user_of(dockerfile).first) << "its socket needs a folder of its own";
    EXPECT_EQ(info.st_mode & 07777U, 01777U) << "what is mounted there is root's";
    std::set<std::string> ports;
    const auto config = read_file(folder + "/penstock.toml");
    const std::regex bind("bind = \":([0-9]+)\"");
    for (std::sregex_iterator at(config.begin(), config.end(), bind), end; at != end; ++at)
        ports.insert((*at)[1]);
    std::istringstream exposed(dockerfile.last("EXPOSE"));
    EXPECT_EQ(ports, (std::set<std::string>{std::istream_iterator<std::string>(exposed), {}}));
    const auto version = run_penstock({"-V"}).output;  // penstock 0.1.0
    const auto label = "image.version=\"" + version.substr(9, version.find('\n') - 9) + "\"";
    EXPECT_TRUE(dockerfile.last("LABEL").contains(label)) << label;
}

/// What `./dev build release`, the Dockerfile's command, has ninja make.
std::vector<std::string> targets_of_dev() {
    const auto dev = read_file(PENSTOCK_SOURCE "/dev");
    std::smatch found;
    if (!std::regex_search(dev, found,
                           std::regex("\n +compile \"\\$preset\" (penstock[a-z_ ]*)\n")))
        throw std::runtime_error("dev does not say any more what it builds");
    std::istringstream words(found[1]);
    return {std::istream_iterator<std::string>(words), {}};
}

// The build stage itself takes minutes; that what .dockerignore leaves is enough for it takes one
// run of cmake, and of ninja, which only looks: also for files that are missing.
TEST(ContainerImage, what_the_engine_is_sent_is_enough_to_build) {
    const TempDir directory;
    const auto context = directory.path("context");
    std::vector<std::string> copy{"tar", "--create", "--file=" + directory.path("context.tar"),
                                  std::string("--directory=") + PENSTOCK_SOURCE};
    std::ifstream ignored(PENSTOCK_SOURCE "/.dockerignore");
    for (std::string line; std::getline(ignored, line);)
        if (!line.empty() && !line.starts_with('#')) copy.push_back("--exclude=./" + line);
    copy.emplace_back(".");
    run_program(copy);
    fs::create_directory(context);
    run_program(
        {"tar", "--extract", "--file=" + directory.path("context.tar"), "--directory=" + context});
    EXPECT_FALSE(fs::exists(context + "/.git"));
    EXPECT_TRUE(fs::exists(context + "/deploy/container/make_root.sh"));
    const auto build = context + "/build/release";
    run_program({"cmake", "-S", context, "-B", build, "-G", "Ninja", "-DPENSTOCK_BUILD_TESTS=OFF"},
                120s);
    const auto runs = Dockerfile(folder + "/Dockerfile").all("RUN");
    EXPECT_EQ(std::ranges::count(runs, "./dev build release"), 1);
    std::vector<std::string> look{"ninja", "-n", "-C", build};
    const auto targets = targets_of_dev();
    look.insert(look.end(), targets.begin(), targets.end());
    const auto steps = run_program(look);
    EXPECT_TRUE(steps.contains("penstock_manual") && steps.contains("main.cpp")) << steps;
}

}  // namespace
}  // namespace penstock::test
