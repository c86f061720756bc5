// Doors of the API that open, change and close while clients are connected.
#include "admin/server.hpp"

#include <array>
#include <filesystem>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <gtest/gtest.h>

#include "tests/support/admin_client.hpp"
#include "tests/support/socket.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/unit/admin/fake_operations.hpp"
#include "tests/unit/watched_loop.hpp"

namespace penstock::test {
namespace {

namespace fs = std::filesystem;

struct SilentLog final : Logger {
    [[nodiscard]] bool enabled(LogLevel) const noexcept override { return false; }
    void write(LogLevel, std::string_view) override {}
};

/// The server on a thread of its own, which is its control thread.
class AdminDoors : public testing::Test {
protected:
    AdminDoors() { operations.view.process.accepting = true; }
    template <typename F>
    auto on_loop(F function) {
        std::packaged_task<decltype(function())()> task(std::move(function));
        auto result = task.get_future();
        boost::asio::post(context, [&task] { task(); });
        return result.get();
    }
    ~AdminDoors() override {
        on_loop([this] {
            server.stop();
            server.close_all();
        });
        work.reset();
        thread.join();
    }

    static admin::Door door_at(const std::string& address,
                               config::AdminAccess access = config::AdminAccess::full) {
        admin::Door door;
        door.listener.bind = {*Endpoint::parse(address)};
        door.listener.access = access;
        return door;
    }
    [[nodiscard]] std::string unix_address(const std::string& name) const {
        return "unix:" + directory.path(name);
    }
    /// The real address; fails the test if it cannot be opened.
    std::string open(const admin::Door& door) {
        return on_loop([&]() -> std::string {
            const auto bound = server.open(door, {});
            EXPECT_TRUE(bound) << (bound ? "" : bound.error());
            return bound ? bound->to_string() : "";
        });
    }
    void start() {
        on_loop([this] { server.start(); });
    }
    std::string configure(const admin::Door& door) {
        return on_loop([&]() -> std::string {
            const auto configured = server.configure(door, {});
            return configured ? "" : configured.error();
        });
    }
    void close(const std::string& address) {
        on_loop([&] { server.close(*Endpoint::parse(address)); });
    }
    [[nodiscard]] static int status_at(const std::string& address,
                                       const std::string& target = "/api/v1/status") {
        return AdminClient(address).get(target).status;
    }

    TempDir directory;
    SilentLog log;
    FakeOperations operations;
    config::Admin settings;
    admin::Api api{operations, settings};
    boost::asio::io_context context{1};
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work{
        context.get_executor()};
    admin::Server server{context, api, log};
    std::thread thread{[this] { context.run(); }};
};

/// A client that keeps its connection; status of each answer.
class KeptConnection {
public:
    explicit KeptConnection(const std::string& address)
        : socket_(std::move(*Socket::connect(Address::parse(address)))) {}

    int ask(const std::string& target) {
        socket_.send("GET " + target + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
        return answer();
    }
    void send(std::string_view text) { socket_.send(text); }
    int answer() {
        const std::string head = read_until("\r\n\r\n");
        const auto length = head.find("Content-Length: ");
        if (length != std::string::npos) socket_.receive_text(std::stoul(head.substr(length + 16)));
        return head.size() > 12 ? std::stoi(head.substr(9, 3)) : 0;
    }
    End end() { return socket_.wait_end(); }

private:
    std::string read_until(const std::string& end) {
        std::string text;
        while (!text.ends_with(end)) {
            const std::string next = socket_.receive_text(1);
            if (next.empty()) break;
            text += next;
        }
        return text;
    }

    Socket socket_;
};

TEST_F(AdminDoors, nobody_is_let_in_before_the_start_and_who_waited_is_then) {
    const std::string address = open(door_at(unix_address("a.sock")));
    KeptConnection early(address);
    early.send("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
    EXPECT_TRUE(on_loop([this] { return server.idle(); }));
    start();
    EXPECT_EQ(early.answer(), 200);
}

TEST_F(AdminDoors, one_that_comes_later_disturbs_nobody) {
    const std::string first = open(door_at(unix_address("a.sock")));
    start();
    KeptConnection client(first);
    ASSERT_EQ(client.ask("/livez"), 200);
    const std::string second = open(door_at("127.0.0.1:0", config::AdminAccess::read));
    start();
    EXPECT_EQ(status_at(second), 200);
    EXPECT_EQ(client.ask("/livez"), 200);
    EXPECT_EQ(on_loop([this] { return server.bound().size(); }), 2U);
}

TEST_F(AdminDoors, what_was_opened_for_nothing_is_closed_and_the_others_serve_on) {
    const std::string first = open(door_at(unix_address("a.sock")));
    start();
    KeptConnection client(first);
    ASSERT_EQ(client.ask("/livez"), 200);
    const std::string second = open(door_at(unix_address("b.sock")));
    KeptConnection waiting(second);
    on_loop([this] { server.withdraw(); });
    EXPECT_FALSE(fs::exists(directory.path("b.sock")));
    EXPECT_NE(waiting.end(), End::open);
    EXPECT_EQ(client.ask("/livez"), 200);
    EXPECT_EQ(status_at(first, "/livez"), 200);
}

TEST_F(AdminDoors, a_failure_to_open_is_told_and_leaves_nothing) {
    const std::string taken = open(door_at("127.0.0.1:0"));
    admin::Door foreign = door_at(unix_address("c.sock"));
    foreign.listener.socket_group = "no-such-group-here";
    for (const auto& door : {door_at(taken), foreign}) {
        const std::string address = door.listener.bind.front().to_string();
        const std::string error = on_loop([&]() -> std::string {
            const auto bound = server.open(door, {});
            return bound ? "" : bound.error();
        });
        EXPECT_TRUE(error.starts_with("admin listener " + address + ": ")) << error;
    }
    EXPECT_FALSE(fs::exists(directory.path("c.sock")));
    EXPECT_EQ(on_loop([this] { return server.bound().size(); }), 1U);
}

TEST_F(AdminDoors, other_rights_count_from_the_next_request_of_who_is_connected) {
    const std::string address = open(door_at(unix_address("a.sock")));
    start();
    KeptConnection client(address);
    ASSERT_EQ(client.ask("/api/v1/status"), 200);
    EXPECT_EQ(configure(door_at(unix_address("a.sock"), config::AdminAccess::metrics)), "");
    EXPECT_EQ(client.ask("/api/v1/status"), 403);
    EXPECT_EQ(client.ask("/livez"), 200);
    EXPECT_EQ(status_at(address), 403);
    EXPECT_EQ(configure(door_at(unix_address("a.sock"))), "");
    EXPECT_EQ(client.ask("/api/v1/status"), 200);
}

TEST_F(AdminDoors, another_token_and_another_mode_count_at_once) {
    admin::Door door = door_at("127.0.0.1:0", config::AdminAccess::full);
    door.token = "first";
    const std::string address = open(door);
    const std::string local = open(door_at(unix_address("a.sock")));
    start();
    const auto with = [&](const std::string& token) {
        return AdminClient(address)
            .send({.target = "/api/v1/status", .header = {"Authorization: Bearer " + token}})
            .status;
    };
    ASSERT_EQ(with("first"), 200);
    on_loop([&] { server.set_token(door.listener.bind.front(), "second"); });
    EXPECT_EQ(with("first"), 401);
    EXPECT_EQ(with("second"), 200);
    door.token = "third";
    EXPECT_EQ(configure(door), "");
    EXPECT_EQ(with("second"), 401);
    EXPECT_EQ(with("third"), 200);
    admin::Door open_to_all = door_at(unix_address("a.sock"));
    open_to_all.listener.socket_mode = 0666;
    EXPECT_EQ(configure(open_to_all), "");
    EXPECT_EQ(fs::status(directory.path("a.sock")).permissions(), fs::perms(0666));
}

TEST_F(AdminDoors, settings_that_cannot_be_carried_out_change_nothing) {
    const std::string address = open(door_at(unix_address("a.sock")));
    start();
    admin::Door without_group = door_at(unix_address("a.sock"), config::AdminAccess::metrics);
    without_group.listener.socket_mode = 0666;
    without_group.listener.socket_group = "no-such-group-here";
    EXPECT_TRUE(configure(without_group).contains("no-such-group-here"));
    EXPECT_EQ(fs::status(directory.path("a.sock")).permissions(), fs::perms(0600));
    EXPECT_EQ(status_at(address), 200);
}

TEST_F(AdminDoors, what_a_check_lets_pass_can_be_configured) {
    admin::Door door = door_at(unix_address("a.sock"));
    door.listener.socket_group = "no-such-group-here";
    const auto refused = admin::Server::check(door);
    ASSERT_FALSE(refused);
    EXPECT_TRUE(refused.error().contains("no-such-group-here")) << refused.error();
    door.listener.socket_group = "";
    EXPECT_TRUE(admin::Server::check(door));
}

TEST_F(AdminDoors, a_closed_one_lets_its_idle_clients_go_and_the_other_serves_on) {
    const std::string first = open(door_at(unix_address("a.sock")));
    const std::string second = open(door_at(unix_address("b.sock")));
    start();
    KeptConnection leaving(first);
    KeptConnection staying(second);
    ASSERT_EQ(leaving.ask("/livez"), 200);
    ASSERT_EQ(staying.ask("/livez"), 200);
    close(first);
    EXPECT_EQ(leaving.end(), End::fin);
    EXPECT_FALSE(fs::exists(directory.path("a.sock")));
    EXPECT_EQ(staying.ask("/livez"), 200);
    close("unix:/nobody/here.sock");
    EXPECT_EQ(status_at(second, "/livez"), 200);
    // The address is free again.
    EXPECT_EQ(open(door_at(unix_address("a.sock"))), first);
    start();
    EXPECT_EQ(status_at(first, "/livez"), 200);
}

TEST_F(AdminDoors, half_a_request_ends_with_its_door_and_does_nothing) {
    const std::string address = open(door_at(unix_address("a.sock")));
    start();
    KeptConnection client(address);
    client.send("POST /api/v1/drain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{");
    ASSERT_EQ(status_at(address, "/livez"), 200);
    close(address);
    EXPECT_NE(client.end(), End::open);
    EXPECT_TRUE(on_loop([this] { return operations.done.empty(); }));
}

/// Whose handlers, and coroutines with them, can be destroyed before what they refer to.
struct AbandonedContext : boost::asio::io_context {
    using io_context::io_context;
    using io_context::shutdown;
};

// As after a failure of the control thread, which leaves without a good-bye.
TEST(AdminStream, one_whose_coroutine_is_gone_does_not_disturb_the_servers_end) {
    TempDir directory;
    SilentLog log;
    FakeOperations operations;
    const config::Admin settings;
    admin::Api api{operations, settings};
    AbandonedContext context{1};
    auto server = std::make_unique<admin::Server>(context, api, log);
    admin::Door door;
    door.listener.bind = {*Endpoint::parse("unix:" + directory.path("a"))};
    ASSERT_TRUE(server->open(door, {}));
    server->start();
    auto client = Socket::connect(Address::parse("unix:" + directory.path("a")));
    ASSERT_TRUE(client);
    client->send("GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
    std::string got;
    ASSERT_TRUE(run_until(context, [&] {
        std::array<std::byte, 1024> bytes;
        const auto size = client->try_receive(bytes);
        for (std::ptrdiff_t i = 0; i < size; ++i) got += static_cast<char>(bytes[i]);
        return got.contains("event: status");
    })) << got;
    ASSERT_TRUE(run_until(context, [&] { return context.poll() == 0; }));  // it waits for events
    context.shutdown();
    // What takes the place of its frame.
    std::vector<std::string> others;
    for (std::size_t size = 64; size < 8192; size += 16) others.emplace_back(size, '\xff');
    server.reset();
    EXPECT_EQ(client->wait_end(), End::fin);
}

}  // namespace
}  // namespace penstock::test
