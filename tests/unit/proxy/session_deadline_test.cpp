#include <array>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.hpp"
#include "tests/unit/proxy/running_worker.hpp"

namespace penstock::proxy {
namespace {

using net::UniqueFd;

/// Clients and the backend do random things to one worker; after each, every session must have its
/// deadline in the wheel. Nothing else files timers there: no log, no drain, one pipe at most.
class DeadlineWalk {
public:
    explicit DeadlineWalk(std::uint64_t seed, config::Upstream upstream = {},
                          config::Listener listener = {})
        : running(std::move(listener), std::move(upstream)), random_(seed) {
        own_timers_ = running.on_worker([this] { return running.worker.loop().wheel().size(); });
    }

    void step() {
        switch (random_.below(8)) {
            case 0:
            case 1: clients_.push_back(running.connect()); return;
            case 2: accept(); return;
            case 3: write_to(clients_); return;
            case 4: write_to(backends_); return;
            case 5: finish(random_.below(2) == 0 ? clients_ : backends_); return;
            case 6: reset(random_.below(2) == 0 ? clients_ : backends_); return;
            default:
                if (UniqueFd* leaving = one_of(clients_)) leaving->reset();
        }
    }

    /// A session that is closed and waits for its coroutines to leave is still counted: those leave
    /// in the next turn. One that was forgotten stays.
    void expect_a_deadline_for_each_session() {
        ASSERT_TRUE(running.wait_until([this] {
            const std::size_t sessions = running.worker.sessions();
            most_ = std::max(most_, sessions);
            return running.worker.loop().wheel().size() - own_timers_ == sessions;
        }));
    }

    [[nodiscard]] std::size_t most_sessions() const { return most_; }

    RunningWorker running;

private:
    UniqueFd* one_of(std::vector<UniqueFd>& sockets) {
        return sockets.empty()
                   ? nullptr
                   : &sockets[random_.below(static_cast<std::uint32_t>(sockets.size()))];
    }
    void accept() {
        pollfd wait{running.backend_listeners[0].get(), POLLIN, 0};
        if (::poll(&wait, 1, 0) == 1) backends_.push_back(running.accept_backend());
    }
    // Nobody ever reads: what is large stays under way.
    static void say_much(const UniqueFd& socket, std::size_t size) {
        const std::vector<char> bytes(size);
        std::ignore = ::send(socket.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    void write_to(std::vector<UniqueFd>& sockets) {
        if (UniqueFd* socket = one_of(sockets); socket != nullptr && *socket)
            say_much(*socket, random_.below(4) == 0 ? large : std::size_t{1} << random_.below(12));
    }
    void finish(std::vector<UniqueFd>& sockets) {
        if (UniqueFd* socket = one_of(sockets); socket != nullptr && *socket)
            ::shutdown(socket->get(), SHUT_WR);
    }
    // Often with much under way, which the other side has to get before its own reset: flushing.
    void reset(std::vector<UniqueFd>& sockets) {
        UniqueFd* socket = one_of(sockets);
        if (socket == nullptr || !*socket) return;
        if (random_.below(2) == 0) say_much(*socket, large);
        net::reset_peer(*socket);
    }

    static constexpr std::size_t large = std::size_t{8} << 20;
    Random random_;
    std::size_t own_timers_ = 0;
    std::size_t most_ = 0;
    std::vector<UniqueFd> clients_;
    std::vector<UniqueFd> backends_;
};

void walk(DeadlineWalk& walk, int steps) {
    for (int i = 0; i < steps; ++i) {
        walk.step();
        walk.expect_a_deadline_for_each_session();
        if (testing::Test::HasFatalFailure()) FAIL() << "after step " << i;
    }
    EXPECT_GT(walk.most_sessions(), 5U) << "the walk led nowhere";
}

TEST(SessionDeadline, is_filed_in_every_state_of_a_relay) {
    for (const std::uint64_t seed : {1U, 2U, 3U, 4U}) {
        DeadlineWalk walk_(seed);
        walk(walk_, 400);
        for (const CloseReason reason : {CloseReason::client_reset, CloseReason::backend_reset})
            EXPECT_GT(walk_.running.closed(reason), 0U) << name_of(reason);
    }
}

TEST(SessionDeadline, is_filed_while_directions_pause_for_their_rates) {
    for (const std::uint64_t rate : {1U, 100'000U}) {
        config::Listener listener;
        listener.upload_rate = rate;
        listener.download_rate = 2 * rate;
        DeadlineWalk walk_(7, {}, listener);
        walk(walk_, 300);
        for (const CloseReason reason : {CloseReason::client_reset, CloseReason::backend_reset})
            EXPECT_GT(walk_.running.closed(reason), 0U) << name_of(reason);
    }
}

// The backend's queue is full: some connections are made, most stay under way.
TEST(SessionDeadline, is_filed_while_connecting_and_between_attempts) {
    config::Upstream upstream;
    upstream.connect_timeout = std::chrono::milliseconds(20);
    DeadlineWalk walk_(5, upstream);
    ::listen(walk_.running.backend_listeners[0].get(), 0);
    walk(walk_, 400);
    EXPECT_TRUE(walk_.running.wait_until(
        [&] { return walk_.running.closed(CloseReason::connect_failed) > 0; }));
    walk_.expect_a_deadline_for_each_session();
}

TEST(SessionDeadline, is_filed_while_held_for_a_backend) {
    config::Upstream upstream;
    upstream.no_backend = config::NoBackend::hold;
    DeadlineWalk walk_(6, upstream);
    walk_.running.set_available(false);
    walk(walk_, 200);
    EXPECT_GT(walk_.running.closed(CloseReason::client_gone), 0U);
}

}  // namespace
}  // namespace penstock::proxy
