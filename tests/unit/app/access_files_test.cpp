// Lists of peers whose listeners come, change and go.
#include "app/access_files.hpp"

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/shortage.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/unit/watched_loop.hpp"

namespace penstock::app {
namespace {

using namespace std::chrono_literals;

/// A server that has not started: it knows who may enter.
class FollowedLists : public testing::Test {
protected:
    ~FollowedLists() override {
        if (!files) return;
        files->stop();
        files.reset();  // its builder has ended; what it has handed over is not run any more
        server->withdraw();
    }

    config::Listener listener(const std::string& name, const std::string& deny_file) const {
        config::Listener one;
        one.name = name;
        one.bind.emplace_back(*Endpoint::parse("127.0.0.1:0"));
        one.deny_file = deny_file;
        return one;
    }
    void write(const std::string& name, const std::string& text) const {
        // At once: half of a list is a list too.
        std::ofstream(directory.path(name + ".new")) << text;
        std::filesystem::rename(directory.path(name + ".new"), directory.path(name));
    }
    /// The configuration that the process starts with.
    void start(const std::vector<config::Listener>& listeners) {
        config = make(listeners);
        auto loaded = AccessFiles::load(*config);
        ASSERT_TRUE(loaded) << loaded.error();
        auto opened = Server::open(config,
                                   {.workers = 1,
                                    .max_connections = 10,
                                    .buffer_cap_bytes = 1 << 20,
                                    .access = loaded->policies,
                                    .tls = {},
                                    .first = {}},
                                   log);
        ASSERT_TRUE(opened) << opened.error();
        server = *std::move(opened);
        files = std::make_unique<AccessFiles>(context, *server, log);
        files->follow(config, std::move(loaded->files));
    }
    /// As a reload does it.
    void change_to(const std::vector<config::Listener>& listeners) {
        const auto next = make(listeners);
        auto loaded = AccessFiles::load(*next);
        ASSERT_TRUE(loaded) << loaded.error();
        auto change = server->prepare(next);
        ASSERT_TRUE(change) << change.error();
        change->access = loaded->policies;
        server->apply(*std::move(change), [] {});
        config = next;
        files->follow(config, std::move(loaded->files));
    }
    template <typename Condition>
    bool until(Condition holds) {
        return test::run_until(context, holds);
    }
    [[nodiscard]] bool denied(std::size_t of, const std::string& address) const {
        const auto* policy = server->access(of);
        return policy != nullptr && policy->check(Endpoint::parse(address + ":1")->ip()).denied;
    }
    static ConfigPtr make(const std::vector<config::Listener>& listeners) {
        auto made = std::make_shared<config::Config>();
        made->listeners = listeners;
        return made;
    }

    test::TempDir directory;
    test::Recorder log;
    boost::asio::io_context context{1};
    ConfigPtr config;
    std::unique_ptr<Server> server;
    std::unique_ptr<AccessFiles> files;
};

TEST_F(FollowedLists, a_listener_that_comes_is_followed_and_one_that_goes_is_not) {
    const std::string first = directory.write("first", "10.0.0.1\n");
    const std::string second = directory.write("second", "10.0.0.2\n");
    start({listener("a", first)});
    EXPECT_TRUE(denied(0, "10.0.0.1"));
    change_to({listener("b", second)});
    EXPECT_TRUE(denied(0, "10.0.0.2"));
    write("first", "10.0.0.11\n");
    write("second", "10.0.0.12\n");
    ASSERT_TRUE(until([&] { return denied(0, "10.0.0.12"); }));
    EXPECT_FALSE(denied(0, "10.0.0.2"));
    EXPECT_EQ(log.count("listener a: "), 0);
}

TEST_F(FollowedLists, another_file_of_the_same_listener_counts_from_now_on) {
    const std::string first = directory.write("first", "10.0.0.1\n");
    const std::string second = directory.write("second", "10.0.0.2\n");
    start({listener("a", first)});
    change_to({listener("a", second)});
    EXPECT_FALSE(denied(0, "10.0.0.1"));
    EXPECT_TRUE(denied(0, "10.0.0.2"));
    write("first", "10.0.0.99\n");
    write("second", "10.0.0.3\n");
    ASSERT_TRUE(until([&] { return denied(0, "10.0.0.3"); }));
    EXPECT_FALSE(denied(0, "10.0.0.99"));
    change_to({listener("a", "")});
    EXPECT_FALSE(denied(0, "10.0.0.3"));
}

// Between reading the files and watching them they may change once more.
TEST_F(FollowedLists, what_changed_while_it_was_loaded_is_noticed) {
    const std::string file = directory.write("list", "10.0.0.1\n");
    start({listener("a", file)});
    const auto next = make({listener("a", file), listener("b", "")});
    auto loaded = AccessFiles::load(*next);
    ASSERT_TRUE(loaded);
    write("list", "10.0.0.2\n");
    auto change = server->prepare(next);
    ASSERT_TRUE(change);
    change->access = loaded->policies;
    server->apply(*std::move(change), [] {});
    files->follow(next, std::move(loaded->files));
    EXPECT_TRUE(until([&] { return denied(0, "10.0.0.2"); }));
}

TEST_F(FollowedLists, a_mistake_leaves_the_list_that_the_reload_brought) {
    const std::string file = directory.write("list", "10.0.0.1\n");
    start({listener("a", file)});
    write("list", "10.0.0.2\n");
    change_to({listener("a", file), listener("b", "")});
    EXPECT_TRUE(denied(0, "10.0.0.2"));
    write("list", "no address\n");
    ASSERT_TRUE(until([&] { return log.count("the lists of peers stay as they are") == 1; }));
    EXPECT_TRUE(denied(0, "10.0.0.2"));
}

// An end of the process would be worse than a list of before.
TEST_F(FollowedLists, without_memory_for_another_list_the_one_of_before_stays) {
    const std::string list = directory.write("list", "10.0.0.1\n");
    start({listener("a", list)});
    const std::string long_comment = "# " + std::string(1 << 18, 'x') + '\n';
    {
        const test::Shortage shortage(1 << 16);
        write("list", "10.0.0.2\n" + long_comment);
        ASSERT_TRUE(until([&] { return log.says("the lists of peers stay as they are"); }));
        EXPECT_GT(test::Shortage::refused(), 0U);
    }
    EXPECT_TRUE(log.says("there is not enough memory"));
    EXPECT_TRUE(denied(0, "10.0.0.1"));
    EXPECT_FALSE(denied(0, "10.0.0.2"));
    write("list", "10.0.0.3\n" + long_comment);
    ASSERT_TRUE(until([&] { return denied(0, "10.0.0.3"); }));
}

// What was being built at the end comes when nobody wants to know any more.
TEST_F(FollowedLists, after_the_end_nothing_is_told) {
    const std::string list = directory.write("list", "10.0.0.1\n");
    start({listener("a", list)});
    write("list", "10.0.0.2\n# " + std::string(1 << 18, 'x') + '\n');
    ASSERT_TRUE(until([&] { return denied(0, "10.0.0.2"); })) << "nothing is being built";
    const test::Shortage shortage(1 << 16);
    files->follow(config, {{}});
    ASSERT_TRUE(test::wait_for([] { return test::Shortage::refused() > 0; }));
    files->stop();
    ASSERT_TRUE(files->join());
    context.restart();
    context.poll();
    EXPECT_FALSE(log.says("stay as they are"));
}

}  // namespace
}  // namespace penstock::app
