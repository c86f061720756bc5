// What becomes of a client, in words.
#include "app/operations/fate.hpp"

#include <gtest/gtest.h>

namespace penstock::app {
namespace {

std::string text(const Fate& fate) {
    return fate.outcome + (fate.text.empty() ? "" : "; " + fate.text);
}

TEST(FateAtListener, is_the_word_of_its_gate) {
    using enum CloseReason;
    EXPECT_EQ(text(fate_at_listener(none, false)), "served");
    EXPECT_EQ(text(fate_at_listener(limit_source, false)), "refused; refused now: limit_source");
    EXPECT_EQ(text(fate_at_listener(rate_source, true)), "refused; refused now: rate_source")
        << "a source never makes a listener wait";
    EXPECT_EQ(text(fate_at_listener(limit_listener, false)),
              "refused; refused now: limit_listener");
    EXPECT_EQ(text(fate_at_listener(limit_listener, true)),
              "waits; the listener accepts nobody now (limit_listener): the client waits in the "
              "kernel's queue");
    EXPECT_EQ(text(fate_at_listener(denied, true)),
              "refused; the listener's allow and deny lists: refused now: denied");
    EXPECT_EQ(text(fate_at_listener(overload, true)),
              "refused; memory is short: refused now: overload");
}

TEST(FateAtUpstream, available_backends_without_room_make_clients_queue) {
    config::Upstream settings;
    settings.queue.timeout = std::chrono::seconds(2);
    settings.queue.max_length = 1000;
    Situation now{.upstream = settings, .any_available = true, .any_room = true};
    EXPECT_EQ(text(fate_at_upstream(now)), "served");
    now.any_room = false;
    EXPECT_EQ(text(fate_at_upstream(now)),
              "queued; no available backend has room: the client queues, at most 2s");
    now.queued = 1000;
    EXPECT_EQ(text(fate_at_upstream(now)),
              "refused; no available backend has room, and 1,000 clients queue already: refused "
              "now: queue_full");
    now.queued = 0;
    now.any_room = true;
    now.connections = 5000;
    EXPECT_EQ(text(fate_at_upstream(now)),
              "queued; the upstream has its 5,000 connections: the client queues, at most 2s");
    settings.queue.max_length = 0;
    EXPECT_EQ(text(fate_at_upstream(now)),
              "refused; the upstream has its 5,000 connections, and there is no queue: refused "
              "now: queue_full");
}

TEST(FateAtUpstream, without_an_available_one_no_backend_decides) {
    config::Upstream settings;
    settings.hold = {.timeout = std::chrono::seconds(3), .max_length = 2};
    Situation now{.upstream = settings};
    EXPECT_EQ(text(fate_at_upstream(now)),
              "refused; no backend is available: refused now: no_backend");
    settings.no_backend = config::NoBackend::hold;
    EXPECT_EQ(text(fate_at_upstream(now)),
              "held; no backend is available: the client is held, at most 3s");
    now.held = 2;
    EXPECT_EQ(text(fate_at_upstream(now)),
              "refused; no backend is available, and 2 clients are held already: refused now: "
              "no_backend");
}

TEST(FateAtUpstream, a_pause_comes_before_all_else) {
    config::Upstream settings;
    settings.hold = {.timeout = std::chrono::seconds(30), .max_length = 1};
    Situation now{.upstream = settings, .paused = true, .any_available = true, .any_room = true};
    EXPECT_EQ(text(fate_at_upstream(now)),
              "held; the upstream is paused: the client is held, at most 30s");
    settings.hold.max_length = 0;
    EXPECT_EQ(text(fate_at_upstream(now)),
              "refused; the upstream is paused: refused now: no_backend");
}

}  // namespace
}  // namespace penstock::app
