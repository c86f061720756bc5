#include "app/inherited_sockets.hpp"

#include <functional>
#include <map>

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/child_process.hpp"
#include "tests/support/socket.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::app {
namespace {

using upgrade::SocketEntry;

config::Environment environment_of(std::map<std::string, std::string> variables) {
    return [variables = std::move(variables)](std::string_view name) -> std::optional<std::string> {
        const auto found = variables.find(std::string(name));
        if (found == variables.end()) return std::nullopt;
        return found->second;
    };
}

config::Environment activated(int count, const std::string& names) {
    return environment_of({{"LISTEN_PID", fmt::to_string(::getpid())},
                           {"LISTEN_FDS", fmt::to_string(count)},
                           {"LISTEN_FDNAMES", names}});
}

net::ListenGroup listening(const std::string& at, std::size_t count = 1) {
    auto group = net::open_listen_group(Endpoint::parse(at).value(), count);
    EXPECT_TRUE(group && net::start_listening(*group, 8));
    return *std::move(group);
}

std::string shown(const std::expected<std::vector<net::ListenGroup>, std::string>& groups) {
    if (!groups) return groups.error();
    std::string text;
    for (const auto& group : *groups)
        text += fmt::format("{}{} x {}", text.empty() ? "" : ", ", group.sockets.size(),
                            group.sockets.front().bound().to_string());
    return text;
}

/// What `tell` says in a child whose descriptors from 3 on are these, as systemd leaves them.
std::string in_service(const std::vector<int>& fds, const std::function<std::string()>& tell) {
    int ends[2];
    EXPECT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
        constexpr int beyond = 200;
        const int answer = ::fcntl(ends[1], F_DUPFD, beyond);
        std::vector<int> copies;
        for (const int fd : fds) copies.push_back(::fcntl(fd, F_DUPFD, beyond));
        for (int fd = 3; fd < beyond; ++fd) ::close(fd);
        for (int fd = 3; const int copy : copies) ::dup2(copy, fd++);
        const std::string text = tell();
        ::_exit(::write(answer, text.data(), text.size()) == std::ssize(text) ? 0 : 1);
    }
    ::close(ends[1]);
    std::string text;
    char room[4096];
    for (ssize_t n = 0; (n = ::read(ends[0], room, sizeof room)) > 0;)
        text.append(room, static_cast<std::size_t>(n));
    ::close(ends[0]);
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    return text;
}

/// The binds are taken one after the other; then what is left.
std::string take_in_service(const std::vector<int>& fds, const std::string& names,
                            const std::vector<std::string>& binds) {
    return in_service(fds, [&] {
        auto sockets = InheritedSockets::from_service_manager(
            activated(static_cast<int>(fds.size()), names), ::getpid());
        if (!sockets) return sockets.error();
        std::string text;
        for (const auto& bind : binds) text += shown(sockets->take(bind)) + "; ";
        return text + fmt::format("left {}", fmt::join(sockets->left_over(), ", "));
    });
}

TEST(InheritedSockets, of_another_process_are_none) {
    for (const auto& environment :
         {environment_of({}), environment_of({{"LISTEN_PID", "1"}, {"LISTEN_FDS", "3"}}),
          environment_of({{"LISTEN_FDS", "3"}})}) {
        auto sockets = InheritedSockets::from_service_manager(environment, ::getpid());
        ASSERT_TRUE(sockets) << sockets.error();
        EXPECT_TRUE(sockets->left_over().empty());
    }
}

TEST(InheritedSockets, a_count_that_is_none_is_refused) {
    for (const char* count : {"", "-1", "three", "3x", "99999999"}) {
        const auto sockets = InheritedSockets::from_service_manager(
            environment_of({{"LISTEN_PID", "12"}, {"LISTEN_FDS", count}}), 12);
        ASSERT_FALSE(sockets) << count;
        EXPECT_NE(sockets.error().find("LISTEN_FDS"), std::string::npos) << sockets.error();
    }
}

TEST(InheritedSockets, of_one_name_are_taken_together) {
    const auto one = listening("127.0.0.1:0", 2);
    const auto two = listening("[::1]:0");
    const auto other = listening("127.0.0.1:0");
    const std::vector<int> fds{one.sockets[0].fd(), two.sockets[0].fd(), one.sockets[1].fd(),
                               other.sockets[0].fd()};
    const auto name_of = [](const net::ListenGroup& group) {
        return group.sockets[0].bound().to_string();
    };
    EXPECT_EQ(take_in_service(fds, "web:web:web:api", {"systemd:web"}),
              fmt::format("2 x {}, 1 x {}; left systemd:api ({})", name_of(one), name_of(two),
                          name_of(other)));
    EXPECT_EQ(
        take_in_service(fds, "web:web:web:api", {"fd:4", "systemd:web", "fd:6"}),
        fmt::format("1 x {}; 2 x {}; 1 x {}; left ", name_of(two), name_of(one), name_of(other)));
    EXPECT_EQ(
        take_in_service(fds, "", {"systemd:unknown"}),
        fmt::format("2 x {}, 1 x {}, 1 x {}; left ", name_of(one), name_of(two), name_of(other)))
        << "systemd's own name for those without";
    EXPECT_EQ(take_in_service(fds, "web:web:web:api", {name_of(other)}),
              fmt::format("1 x {0}; left systemd:web ({1}), systemd:web ({2})", name_of(other),
                          name_of(one), name_of(two)))
        << "who binds the address itself gets it too";
}

TEST(InheritedSockets, that_are_missing_or_in_use_are_refused_by_name) {
    const auto web = listening("127.0.0.1:0");
    const std::vector<int> fds{web.sockets[0].fd()};
    const auto twice = take_in_service(fds, "web", {"systemd:web", "systemd:web", "fd:3"});
    EXPECT_NE(twice.find("systemd:web: its sockets are in use already"), std::string::npos)
        << twice;
    EXPECT_NE(twice.find("fd:3: its sockets are in use already"), std::string::npos) << twice;
    const auto missing = take_in_service(fds, "web", {"systemd:wbe", "fd:4", "fd:x", "fd:-1"});
    EXPECT_NE(missing.find("systemd:wbe: no such socket was passed to this process (there are "
                           "systemd:web ("),
              std::string::npos)
        << missing;
    EXPECT_NE(missing.find("FileDescriptorName="), std::string::npos) << missing;
    EXPECT_NE(missing.find("fd:4: no such socket"), std::string::npos) << missing;
    EXPECT_NE(missing.find("fd:x: no such socket"), std::string::npos) << missing;
    EXPECT_NE(missing.find("fd:-1: no such socket"), std::string::npos) << missing;
}

TEST(InheritedSockets, that_do_not_listen_are_refused_by_number_and_name) {
    const auto web = listening("127.0.0.1:0");
    const net::UniqueFd datagram(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const auto refusal = take_in_service({web.sockets[0].fd(), datagram.get()}, "web:dns", {});
    EXPECT_EQ(refusal.rfind("descriptor 4 that the service manager passed as 'dns' is no stream "
                            "socket",
                            0),
              0U)
        << refusal;
}

TEST(InheritedSockets, are_closed_by_exec_and_do_not_block) {
    const auto web = listening("127.0.0.1:0");
    EXPECT_EQ(in_service({web.sockets[0].fd()},
                         [] {
                             ::fcntl(3, F_SETFL, 0);
                             auto sockets = InheritedSockets::from_service_manager(
                                 activated(1, "web"), ::getpid());
                             const bool closed = (::fcntl(3, F_GETFD) & FD_CLOEXEC) != 0;
                             const auto groups = sockets->take("systemd:web");
                             const bool waits = (::fcntl(3, F_GETFL) & O_NONBLOCK) == 0;
                             return fmt::format("{} {}", closed, waits);
                         }),
              "true false");
}

// The real one: it opens the sockets, and starts the program when a client comes.
TEST(InheritedSockets, G10_systemd_passes_them) {
    const test::TempDir directory;
    const auto web = directory.path("web");
    const auto other = directory.path("other");
    test::ChildProcess service({"systemd-socket-activate", "--listen=" + web, "--listen=" + other,
                                "--fdname=web:other", PENSTOCK_TEST_SUCCESSOR, "activated"});
    std::expected<test::Socket, int> client;
    ASSERT_TRUE(test::wait_for([&] {
        client = test::Socket::connect(test::Address::parse("unix:" + web));
        return client.has_value() || !service.running();
    }));
    ASSERT_EQ(service.wait_exit(), 0) << service.errors() << "(package systemd)";
    EXPECT_EQ(service.output(),
              fmt::format("1 unix:{}\nleft: systemd:other (unix:{})\n", web, other));
}

// --- of the process that goes -------------------------------------------------------------------

std::vector<net::UniqueFd> fds_of(std::vector<net::ListenGroup> groups) {
    std::vector<net::UniqueFd> fds;
    for (auto& group : groups)
        for (auto& socket : group.sockets) fds.push_back(socket.take_fd());
    return fds;
}

template <typename... Groups>
std::vector<net::ListenGroup> list_of(Groups... groups) {
    std::vector<net::ListenGroup> list;
    (list.push_back(std::move(groups)), ...);
    return list;
}

TEST(InheritedSockets, U1_of_an_old_process_are_found_by_what_they_were_bound_to) {
    auto web = listening("127.0.0.1:0", 3);
    auto api = listening("127.0.0.1:0", 1);
    auto activated_one = listening("127.0.0.1:0", 1);
    const auto address_of_web = web.sockets[0].bound().to_string();
    const auto address_of_api = api.sockets[0].bound().to_string();
    const auto third = activated_one.sockets[0].bound().to_string();
    InheritedSockets sockets;
    const std::vector<SocketEntry> entries{{.bind = "127.0.0.1:0", .count = 3},
                                           {.bind = "127.0.0.1:0", .count = 1},
                                           {.bind = "systemd:x", .count = 1}};
    ASSERT_TRUE(sockets.add(
        entries, fds_of(list_of(std::move(web), std::move(api), std::move(activated_one)))));
    EXPECT_EQ(shown(sockets.take("127.0.0.1:0")), "3 x " + address_of_web);
    EXPECT_EQ(sockets.left_over(),
              (std::vector<std::string>{fmt::format("127.0.0.1:0 ({})", address_of_api),
                                        fmt::format("systemd:x ({})", third)}));
    EXPECT_EQ(shown(sockets.take("127.0.0.1:0")), "1 x " + address_of_api)
        << "the next listener on any port has the next one";
    EXPECT_EQ(shown(sockets.take("127.0.0.1:0")), "") << "a third has to open its own";
    EXPECT_EQ(shown(sockets.take("systemd:x")), "1 x " + third);
    EXPECT_TRUE(sockets.left_over().empty());
}

TEST(InheritedSockets, U5_a_unix_path_stays_and_has_a_new_owner) {
    const test::TempDir directory;
    const auto at = "unix:" + directory.path("s");
    auto old = listening(at);
    InheritedSockets sockets;
    ASSERT_TRUE(sockets.add(
        {{.bind = at, .count = 1, .unix_device = old.unix_device, .unix_inode = old.unix_inode}},
        fds_of(list_of(std::move(old)))));
    const auto groups = sockets.take(at);
    ASSERT_TRUE(groups) << groups.error();
    ASSERT_EQ(groups->size(), 1U);
    EXPECT_TRUE(test::Socket::connect(test::Address::parse(at)));
    net::remove_unix_path(groups->front());
    EXPECT_FALSE(std::filesystem::exists(directory.path("s")));
}

TEST(InheritedSockets, of_a_service_manager_are_kept_under_all_their_names) {
    auto web = listening("127.0.0.1:0");
    auto old_web = listening("127.0.0.1:0");
    auto old_number = listening("127.0.0.1:0");
    auto own = listening("127.0.0.1:0");
    const auto address_of = [](const net::ListenGroup& group) {
        return group.sockets[0].bound().to_string();
    };
    const std::vector<std::string> addresses{address_of(web), address_of(old_web),
                                             address_of(old_number), address_of(own)};
    InheritedSockets sockets;
    // As a listener has it by its address, and as older versions tell of them.
    ASSERT_TRUE(sockets.add(
        {{.bind = addresses[0], .count = 1, .passed_as = "systemd:web", .passed_number = 7},
         {.bind = "systemd:old", .count = 1},
         {.bind = "fd:4", .count = 1},
         {.bind = addresses[3], .count = 1}},
        fds_of(
            list_of(std::move(web), std::move(old_web), std::move(old_number), std::move(own)))));
    EXPECT_EQ(sockets.close_own(), std::vector{fmt::format("{} ({})", addresses[3], addresses[3])});
    EXPECT_FALSE(test::Socket::connect(test::Address::parse(addresses[3])));
    std::vector<SocketEntry> entries;
    std::vector<int> fds;
    sockets.list(entries, fds);
    ASSERT_EQ(entries.size(), 3U);
    EXPECT_EQ(entries[0].passed_as, "systemd:web");
    EXPECT_EQ(entries[0].passed_number, 7);
    EXPECT_EQ(entries[2].passed_number, 4);
    for (const char* name : {"systemd:web", "fd:7"}) {
        auto copy = sockets.duplicate();
        ASSERT_TRUE(copy);
        auto taken = copy->take(name);
        EXPECT_EQ(shown(taken), "1 x " + addresses[0]);
        EXPECT_EQ(taken->front().passed_as.name, "systemd:web");
    }
    auto copy = sockets.duplicate();
    ASSERT_TRUE(copy);
    EXPECT_EQ(shown(copy->take("systemd:old")), "1 x " + addresses[1]);
    const auto number = copy->take("fd:4");
    EXPECT_EQ(shown(number), "1 x " + addresses[2]);
    EXPECT_EQ(sockets.left_over().size(), 3U) << "copies were taken";
    sockets.note_taken(number->front());
    EXPECT_EQ(sockets.left_over().size(), 2U);
    EXPECT_NE(shown(sockets.take("fd:4")).find("in use already"), std::string::npos);
    ASSERT_TRUE(sockets.keep(number->front(), {number->front().sockets[0].fd()}));
    EXPECT_EQ(shown(sockets.take("fd:4")), "1 x " + addresses[2]);
}

TEST(InheritedSockets, announced_and_sent_must_be_the_same) {
    InheritedSockets sockets;
    EXPECT_FALSE(
        sockets.add({{.bind = "a", .count = 2}}, fds_of(list_of(listening("127.0.0.1:0")))));
    EXPECT_FALSE(sockets.add({}, fds_of(list_of(listening("127.0.0.1:0")))));
    EXPECT_FALSE(sockets.add({{.bind = "a", .count = ~std::uint64_t{0}}}, {}));
    std::vector<net::UniqueFd> silent;
    silent.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto refused = sockets.add({{.bind = "a", .count = 1}}, std::move(silent));
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().find("does not listen"), std::string::npos) << refused.error();
}

}  // namespace
}  // namespace penstock::app
