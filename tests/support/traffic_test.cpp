// The load and its ledger, tried without a proxy and against peers that lose something; and what is
// adopted from a program that starts others.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include "tests/support/adopted_process.hpp"
#include "tests/support/chaos_backend.hpp"
#include "tests/support/child_process.hpp"
#include "tests/support/oracle.hpp"
#include "tests/support/traffic.hpp"

namespace penstock::test {
namespace {

std::vector<Address> addresses(const std::vector<std::string>& texts) {
    std::vector<Address> result;
    for (const auto& text : texts) result.push_back(Address::parse(text));
    return result;
}

Verdict judge(const Traffic& traffic) {
    Verdict verdict = judge_integrity(traffic.ledger());
    verdict.add(judge_closes(traffic.ledger()));
    return verdict;
}

TEST(Traffic, is_clean_where_nothing_is_lost) {
    Traffic traffic({.per_second = 1000, .long_lived = 50, .exchange_every = 20ms, .life = 300ms});
    traffic.start(addresses(traffic.backends()));
    ASSERT_TRUE(traffic.wait_for_more(500));
    EXPECT_GT(traffic.living(), 0U);
    traffic.finish();
    EXPECT_TRUE(traffic.problems().empty()) << traffic.problems().front();
    EXPECT_EQ(traffic.completed(), traffic.opened());
    const Verdict verdict = judge(traffic);
    EXPECT_TRUE(verdict.clean()) << verdict.text();
    std::uint64_t exchanged = 0;
    for (const auto& record : traffic.ledger().records()) {
        EXPECT_EQ(record.client.received, record.backend.sent);
        EXPECT_EQ(record.backend_connections, 1U);
        exchanged += record.client.received;
    }
    EXPECT_GT(exchanged, 500U * 16U);
}

// What a proxy that drops connections would make of them.
TEST(Traffic, tells_resets_refusals_silence_and_early_ends) {
    const auto problems_with = [](const Address& target) {
        Traffic traffic({.per_second = 50, .max_in_flight = 5, .limit = 300ms});
        traffic.start({target});
        EXPECT_TRUE(wait_for([&] { return traffic.opened() >= 5; }));
        traffic.finish();
        EXPECT_EQ(traffic.completed(), 0U);
        EXPECT_GE(traffic.problems().size(), 5U);
        return traffic.problems().empty() ? "" : traffic.problems().front();
    };
    const ClosedPort closed;
    EXPECT_NE(problems_with(closed.address).find("connect: Connection refused"), std::string::npos);
    ChaosBackend resets(scripts::reset_after(1));
    EXPECT_NE(problems_with(resets.address()).find("ended by a RST"), std::string::npos);
    ChaosBackend hangs(scripts::hang());
    EXPECT_NE(problems_with(hangs.address()).find("no answer"), std::string::npos);
    ChaosBackend leaves([](Socket& socket, const ChaosBackend& backend) {
        socket.receive_text(16);
        socket.finish();
        backend.wait_end(socket);
    });
    EXPECT_NE(problems_with(leaves.address()).find("after 0 of"), std::string::npos);
}

TEST(Traffic, tells_bytes_of_another_stream) {
    ChaosBackend echo(scripts::echo());  // the client's own bytes are not those it waits for
    Traffic traffic({.per_second = 50, .max_in_flight = 5});
    traffic.start({echo.address()});
    ASSERT_TRUE(wait_for([&] { return traffic.opened() >= 10; }));
    traffic.finish();
    EXPECT_TRUE(judge(traffic).blames("I2"));
}

// A shell that starts another one and goes: as an upgrade does.
pid_t orphan_of(ChildProcess& parent) {
    pid_t pid = -1;
    wait_for([&] {
        const std::string text = parent.output();
        if (!text.ends_with('\n')) return false;
        pid = std::stoi(text);
        return true;
    });
    return pid;
}

TEST(AdoptedProcess, tells_how_an_orphan_ended) {
    become_subreaper();
    ChildProcess parent({"sh", "-c", "sh -c 'kill -STOP $$; exit 7' & echo $!; read line"});
    AdoptedProcess orphan(orphan_of(parent));
    parent.signal(SIGKILL);
    ASSERT_TRUE(parent.wait_exit());
    EXPECT_TRUE(orphan.running());
    EXPECT_FALSE(orphan.wait_exit(10ms).ended);
    ASSERT_TRUE(wait_for([&] {  // not before it has stopped itself
        orphan.signal(SIGCONT);
        return !orphan.running();
    }));
    const auto end = orphan.wait_exit();
    ASSERT_TRUE(end.ended && end.status);
    EXPECT_TRUE(WIFEXITED(*end.status));
    EXPECT_EQ(WEXITSTATUS(*end.status), 7);
}

TEST(AdoptedProcess, a_guard_leaves_nothing_of_its_group) {
    become_subreaper();
    SpawnOptions options;
    options.own_group = true;
    ChildProcess parent({"sh", "-c", "sleep 600 & echo $!; wait"}, options);
    AdoptedProcess orphan(orphan_of(parent));
    {
        GroupGuard guard(parent.pid());
        EXPECT_TRUE(orphan.running());
    }
    EXPECT_TRUE(wait_for([&] { return !orphan.running() && !parent.running(); }));
}

}  // namespace
}  // namespace penstock::test
