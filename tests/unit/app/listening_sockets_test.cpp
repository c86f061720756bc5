#include "app/listening_sockets.hpp"

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/temp_dir.hpp"

namespace penstock::app {
namespace {

constexpr std::size_t workers = 2;

struct Named {
    std::string name;
    std::vector<std::string> bind;
    std::uint32_t backlog = 64;
};

config::Config config_of(const std::vector<Named>& listeners) {
    config::Config config;
    for (const auto& [name, bind, backlog] : listeners) {
        config::Listener listener;
        listener.name = name;
        listener.backlog = backlog;
        for (const auto& text : bind) listener.bind.emplace_back(*Endpoint::parse(text));
        config.listeners.push_back(std::move(listener));
    }
    return config;
}

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

/// A client whose connection waits in the kernel's queue; nothing if nobody listens.
net::UniqueFd connect_to(const Endpoint& to) {
    net::UniqueFd fd(::socket(to.is_unix() ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_storage raw;
    const auto length = to.to_sockaddr(raw);
    if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&raw), length) != 0) return {};
    return fd;
}

/// The book, and the workers that have the descriptors.
class Sockets : public testing::Test {
protected:
    /// A whole change, as Server makes it. The error is the user's; "" = none.
    std::string change_to(const std::vector<Named>& listeners,
                          InheritedSockets* inherited = nullptr) {
        const auto config = config_of(listeners);
        auto wanted = book.open(config, inherited);
        if (!wanted) return wanted.error();
        if (auto listening = ListeningSockets::listen(*wanted, config); !listening)
            return listening.error();
        book.adopt(*std::move(wanted), config);
        served.clear();
        std::set<int> named;
        for (std::size_t worker = 0; worker < workers; ++worker)
            for (auto& [fd, listener, fresh] : book.update_for(worker, config)) {
                named.insert(fd);
                served[fd] = {worker, config.listeners[listener].name};
                if (fresh) held.emplace(fd, std::move(fresh));
            }
        book.settle();
        // Workers close what they are not told of.
        std::erase_if(held, [&](const auto& one) { return !named.contains(one.first); });
        return "";
    }
    [[nodiscard]] std::set<int> fds_of(const std::string& listener) const {
        std::set<int> fds;
        for (const auto& [fd, by] : served)
            if (by.second == listener) fds.insert(fd);
        return fds;
    }
    [[nodiscard]] Endpoint address_of(const std::string& listener) const {
        const auto all = book.bound(listener);
        EXPECT_EQ(all.size(), 1U);
        return all.empty() ? Endpoint{} : all.front();
    }

    test::TempDir directory;
    ListeningSockets book{workers};
    std::map<int, net::UniqueFd> held;                            // by the workers
    std::map<int, std::pair<std::size_t, std::string>> served;  // worker and listener
};

TEST_F(Sockets, each_worker_gets_one_of_an_address_and_one_alone_a_unix_socket) {
    const std::string path = directory.path("front.sock");
    ASSERT_EQ(change_to({{"in", {"127.0.0.1:0"}}, {"local", {"unix:" + path}}}), "");
    std::set<std::size_t> of;
    for (const int fd : fds_of("in")) of.insert(served[fd].first);
    EXPECT_EQ(of, (std::set<std::size_t>{0, 1}));
    ASSERT_EQ(fds_of("local").size(), 1U);
    EXPECT_TRUE(std::filesystem::exists(path));
    EXPECT_TRUE(connect_to(address_of("local")));
    book.forget(ListeningSockets::Paths::removed);
    EXPECT_FALSE(std::filesystem::exists(path));
    EXPECT_TRUE(book.groups().empty());
}

// With port 0 above all: another socket would be another port.
TEST_F(Sockets, what_stays_is_the_same_socket_with_its_queue) {
    ASSERT_EQ(change_to({{"in", {"127.0.0.1:0"}}}), "");
    const Endpoint address = address_of("in");
    const auto before = fds_of("in");
    const auto queued = connect_to(address);
    ASSERT_TRUE(queued);
    ASSERT_EQ(change_to({{"in", {"127.0.0.1:0"}, 128}, {"more", {"127.0.0.2:0"}}}), "");
    EXPECT_EQ(address_of("in"), address);
    EXPECT_EQ(fds_of("in"), before);
    EXPECT_EQ(book.queue("in").length, 1U);
    EXPECT_EQ(book.queue("in").limit, 2 * 128U) << "the new backlog, on each socket";
    EXPECT_EQ(book.queue("more").length, 0U);
}

TEST_F(Sockets, any_port_of_an_address_may_be_wanted_several_times) {
    ASSERT_EQ(change_to({{"in", {"127.0.0.1:0"}}}), "");
    const Endpoint address = address_of("in");
    ASSERT_EQ(change_to({{"in", {"127.0.0.1:0", "127.0.0.1:0"}}}), "");
    const auto both = book.bound("in");
    ASSERT_EQ(both.size(), 2U);
    EXPECT_EQ(both[0], address);
    EXPECT_NE(both[1], address);
    ASSERT_EQ(change_to({{"in", {"127.0.0.1:0", "127.0.0.1:0"}}, {"more", {"127.0.0.1:0"}}}), "");
    EXPECT_EQ(book.bound("in"), both);
    EXPECT_EQ(book.bound("more").size(), 1U);
    ASSERT_EQ(change_to({{"in", {"127.0.0.1:0"}}}), "");
    EXPECT_EQ(address_of("in"), address);
}

TEST_F(Sockets, any_port_may_become_the_one_that_it_is) {
    ASSERT_EQ(change_to({{"in", {"127.0.0.1:0"}}}), "");
    const Endpoint address = address_of("in");
    const auto before = fds_of("in");
    const auto queued = connect_to(address);
    for (int i = 0; i < 2; ++i) {
        ASSERT_EQ(change_to({{"more", {"127.0.0.1:0"}}, {"in", {address.to_string()}}}), "");
        EXPECT_EQ(fds_of("in"), before) << "also before a listener that wants any port";
        EXPECT_EQ(address_of("in"), address);
        EXPECT_EQ(book.queue("in").length, 1U);
        EXPECT_NE(address_of("more"), address);
    }
    EXPECT_EQ(book.groups()[1].bind, address.to_string()) << "what the next process looks for";
}

/// What one process leaves to the next.
InheritedSockets left_by(const std::vector<std::pair<std::string, net::ListenGroup*>>& listeners) {
    std::vector<upgrade::SocketEntry> entries;
    std::vector<net::UniqueFd> fds;
    for (const auto& [listener, group] : listeners) {
        entries.push_back({.bind = "127.0.0.1:0", .listener = listener, .count = workers});
        for (auto& socket : group->sockets) fds.push_back(socket.take_fd());
    }
    InheritedSockets inherited;
    EXPECT_TRUE(inherited.add(entries, std::move(fds)));
    return inherited;
}

net::ListenGroup listening() {
    auto group = net::open_listen_group(*Endpoint::parse("127.0.0.1:0"), workers);
    EXPECT_TRUE(group && net::start_listening(*group, 8));
    return *std::move(group);
}

TEST_F(Sockets, U1_any_port_stays_that_of_its_listener_whatever_their_order) {
    auto a = listening();
    auto b = listening();
    const Endpoint of_a = a.sockets[0].bound();
    const Endpoint of_b = b.sockets[0].bound();
    auto inherited = left_by({{"a", &a}, {"b", &b}});
    ASSERT_EQ(change_to({{"new", {"127.0.0.1:0"}}, {"b", {"127.0.0.1:0"}}, {"a", {"127.0.0.1:0"}}},
                        &inherited),
              "");
    EXPECT_EQ(address_of("a"), of_a);
    EXPECT_EQ(address_of("b"), of_b);
    EXPECT_EQ(book.bound("new").size(), 1U) << "it has one of its own";
}

TEST_F(Sockets, U1_any_port_that_becomes_the_one_that_it_is_stays_too) {
    auto a = listening();
    const Endpoint of_a = a.sockets[0].bound();
    auto inherited = left_by({{"a", &a}});
    ASSERT_EQ(change_to({{"new", {"127.0.0.1:0"}}, {"a", {of_a.to_string()}}}, &inherited), "");
    EXPECT_EQ(address_of("a"), of_a);
    EXPECT_NE(address_of("new"), of_a);
}

TEST_F(Sockets, U1_an_older_process_says_nothing_of_listeners) {
    auto a = listening();
    auto b = listening();
    const Endpoint of_a = a.sockets[0].bound();
    const Endpoint of_b = b.sockets[0].bound();
    auto inherited = left_by({{"", &a}, {"", &b}});
    ASSERT_EQ(change_to({{"a", {"127.0.0.1:0"}}, {"b", {"127.0.0.1:0"}}}, &inherited), "");
    EXPECT_EQ(address_of("a"), of_a);
    EXPECT_EQ(address_of("b"), of_b);
}

TEST_F(Sockets, a_listener_that_is_called_otherwise_keeps_them) {
    ASSERT_EQ(change_to({{"old", {"127.0.0.1:0"}}, {"other", {"127.0.0.1:0"}}}), "");
    const auto old_fds = fds_of("old");
    const auto other_fds = fds_of("other");
    // Both are bound to "127.0.0.1:0"; the one that keeps its name keeps its own.
    ASSERT_EQ(change_to({{"renamed", {"127.0.0.1:0"}}, {"other", {"127.0.0.1:0"}}}), "");
    EXPECT_EQ(fds_of("renamed"), old_fds);
    EXPECT_EQ(fds_of("other"), other_fds);
    EXPECT_TRUE(book.bound("old").empty());
}

TEST_F(Sockets, an_address_that_moves_to_another_listener_takes_its_queue_along) {
    ASSERT_EQ(change_to({{"a", {"127.0.0.1:0", "127.0.0.2:0"}}, {"b", {"127.0.0.3:0"}}}), "");
    const Endpoint moved = book.bound("a")[1];
    const auto queued = connect_to(moved);
    ASSERT_EQ(change_to({{"b", {"127.0.0.2:0", "127.0.0.3:0"}}, {"a", {"127.0.0.1:0"}}}), "");
    ASSERT_EQ(book.bound("b").size(), 2U);
    EXPECT_EQ(book.bound("b")[0], moved);
    EXPECT_EQ(book.queue("b").length, 1U);
    EXPECT_EQ(book.queue("a").length, 0U);
    EXPECT_EQ(fds_of("b").size(), 4U);
}

TEST_F(Sockets, what_nobody_wants_any_more_is_closed_and_its_path_removed) {
    const std::string path = directory.path("front.sock");
    ASSERT_EQ(change_to({{"in", {"127.0.0.1:0"}}, {"local", {"unix:" + path}}}), "");
    const Endpoint address = address_of("in");
    ASSERT_EQ(change_to({{"more", {"127.0.0.2:0"}}}), "");
    EXPECT_FALSE(connect_to(address));
    EXPECT_FALSE(std::filesystem::exists(path));
    EXPECT_EQ(book.groups().size(), 1U);
    EXPECT_EQ(held.size(), workers);
}

TEST_F(Sockets, every_address_of_a_port_comes_beside_one_of_them_and_goes_again) {
    ASSERT_EQ(change_to({{"in", {"127.0.0.1:0"}}}), "");
    const Endpoint one = address_of("in");
    const std::string all = "0.0.0.0:" + std::to_string(one.port());
    ASSERT_EQ(change_to({{"in", {all}}}), "");
    EXPECT_TRUE(address_of("in").is_any_address());
    EXPECT_TRUE(connect_to(one));
    ASSERT_EQ(change_to({{"in", {one.to_string()}}}), "") << "and back";
    EXPECT_EQ(address_of("in"), one);
    EXPECT_TRUE(connect_to(one));
}

TEST_F(Sockets, somebody_elses_port_is_refused_and_nothing_is_left_behind) {
    const std::string path = directory.path("front.sock");
    ListeningSockets others(1);
    const auto theirs = config_of({{"theirs", {"127.0.0.1:0"}}});
    auto taken = others.open(theirs);
    ASSERT_TRUE(taken);
    ASSERT_TRUE(ListeningSockets::listen(*taken, theirs));
    const std::string address = taken->groups[0].sockets.sockets[0].bound().to_string();
    ASSERT_EQ(change_to({{"in", {"127.0.0.1:0"}}}), "");
    const Endpoint kept = address_of("in");
    const auto before = fds_of("in");
    const std::string error =
        change_to({{"in", {"127.0.0.1:0"}}, {"local", {"unix:" + path}}, {"bad", {address}}});
    EXPECT_TRUE(error.starts_with("listener bad: ")) << error;
    EXPECT_TRUE(error.contains(address)) << error;
    EXPECT_FALSE(std::filesystem::exists(path));
    EXPECT_EQ(address_of("in"), kept);
    EXPECT_TRUE(connect_to(kept));
    EXPECT_EQ(fds_of("in"), before);
    EXPECT_TRUE(book.bound("local").empty());
}

TEST_F(Sockets, what_was_opened_for_nothing_is_closed_again) {
    const std::string path = directory.path("front.sock");
    ASSERT_EQ(change_to({{"in", {"127.0.0.1:0"}}}), "");
    const auto config = config_of(
        {{"in", {"127.0.0.1:0"}}, {"local", {"unix:" + path}}, {"more", {"127.0.0.2:0"}}});
    std::vector<int> fds;
    {
        auto wanted = book.open(config);
        ASSERT_TRUE(wanted);
        ASSERT_TRUE(ListeningSockets::listen(*wanted, config));
        for (const auto& group : wanted->groups)
            for (const auto& socket : group.sockets.sockets) fds.push_back(socket.fd());
        EXPECT_EQ(fds.size(), 1 + workers) << "none of what is there already";
        EXPECT_TRUE(std::filesystem::exists(path));
        ListeningSockets::withdraw(*wanted);
    }
    EXPECT_FALSE(std::filesystem::exists(path));
    for (const int fd : fds) EXPECT_FALSE(is_open(fd));
    EXPECT_TRUE(connect_to(address_of("in")));
}

// Between open() and listen() a client is refused, so that nobody waits for a change that fails.
TEST_F(Sockets, nobody_gets_through_before_they_listen) {
    const auto config = config_of({{"in", {"127.0.0.1:0"}}});
    auto wanted = book.open(config);
    ASSERT_TRUE(wanted);
    const Endpoint address = wanted->groups[0].sockets.sockets[0].bound();
    EXPECT_FALSE(connect_to(address));
    ASSERT_TRUE(ListeningSockets::listen(*wanted, config));
    EXPECT_TRUE(connect_to(address));
}

}  // namespace
}  // namespace penstock::app
