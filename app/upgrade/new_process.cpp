#include "app/upgrade/new_process.hpp"

#include <chrono>
#include <csignal>
#include <exception>
#include <utility>

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "net/asio_words.hpp"

namespace penstock::app::upgrade {

namespace asio = boost::asio;

namespace {

constexpr std::chrono::milliseconds kill_patience(1000);  // a disk may hold it

// glibc 2.36 declares its own function without extern "C".
void pidfd_signal(int pidfd, int signal) noexcept {
    ::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0);
}

bool has_ended(int pidfd, std::chrono::milliseconds patience = {}) noexcept {
    pollfd entry{.fd = pidfd, .events = POLLIN, .revents = 0};
    return ::poll(&entry, 1, static_cast<int>(patience.count())) == 1;
}

}  // namespace

// Held by the coroutines too: they may resume when the object is gone.
struct NewProcess::State : std::enable_shared_from_this<State> {
    using Executor = asio::io_context::executor_type;
    using Descriptor = asio::posix::basic_stream_descriptor<Executor>;
    using Timer =
        asio::basic_waitable_timer<std::chrono::steady_clock,
                                   asio::wait_traits<std::chrono::steady_clock>, Executor>;
    using Answer = std::expected<Ready, std::string>;

    State(asio::io_context& context, Launched launched)
        : launcher(launched.launcher),
          pid(launched.started.pid),
          pidfd(context, launched.started.pidfd.release()),
          event(context),
          channel(context, std::move(launched.channel)) {}

    [[nodiscard]] std::string name() const { return fmt::format("the new process {}", pid); }
    void signal(int number) noexcept {
        if (!end && pidfd.is_open()) pidfd_signal(pidfd.native_handle(), number);
    }
    void kill() noexcept { signal(SIGKILL); }
    /// If it has ended, by that time.
    void reap(std::chrono::milliseconds patience = {});

    static asio::awaitable<void> watch(std::shared_ptr<State> self);
    static asio::awaitable<Answer> hand_over(std::shared_ptr<State> self, Manifest manifest,
                                             std::vector<int> fds, Patience patience);

    Launcher& launcher;
    pid_t pid;
    Descriptor pidfd;
    Timer event;  // cancelled when the process has ended
    net::FdChannel channel;
    std::optional<std::string> end;
    bool ready = false;

private:
    // Of a coroutine that holds the state.
    asio::awaitable<Answer> await_answer(TimePoint deadline, Patience patience);
    asio::awaitable<Answer> give_up(net::FdChannelError error, Patience patience);
    asio::awaitable<void> see_it_end(Duration patience);
    asio::awaitable<void> wait_for_end(Duration patience);
};

void NewProcess::State::reap(std::chrono::milliseconds patience) {
    if (!end && has_ended(pidfd.native_handle(), patience)) end = launcher.how_it_ended();
}

asio::awaitable<void> NewProcess::State::watch(std::shared_ptr<State> self) {
    while (!self->end && self->pidfd.is_open()) {
        const auto [error] = co_await self->pidfd.async_wait(Descriptor::wait_read, net::as_result);
        // A Penstock that was ready may have passed the channel on to the one after it, which goes
        // on asking.
        if (self->ready) co_return;
        if (!error) self->reap();
    }
    if (!self->end) co_return;  // nobody is interested any more
    // What is no Penstock may have left the other end to a process of its own.
    self->channel.end_reading();
    self->event.cancel();
}

asio::awaitable<NewProcess::State::Answer> NewProcess::State::hand_over(std::shared_ptr<State> self,
                                                                        Manifest manifest,
                                                                        std::vector<int> fds,
                                                                        Patience patience) {
    const TimePoint deadline = deadline_after(SteadyClock().now(), patience.answer);
    Message message = std::move(manifest);
    auto text = encode(message);
    std::get<Manifest>(message).wipe();
    auto sending = self->channel.send(std::move(text), std::move(fds), deadline);
    auto sent = co_await std::move(sending);
    // One that ended at once may have said why.
    if (!sent && sent.error().kind != net::FdChannelError::Kind::ended) {
        auto end = self->give_up(std::move(sent.error()), patience);
        co_return co_await std::move(end);
    }
    auto waiting = self->await_answer(deadline, patience);
    co_return co_await std::move(waiting);
}

asio::awaitable<NewProcess::State::Answer> NewProcess::State::await_answer(TimePoint deadline,
                                                                           Patience patience) {
    for (;;) {
        auto message = co_await channel.receive(deadline);
        if (!message) {
            auto end_of_it = give_up(std::move(message.error()), patience);
            co_return co_await std::move(end_of_it);
        }
        auto answer = decode(message->bytes);
        if (!answer) {
            net::FdChannelError nonsense{net::FdChannelError::Kind::malformed, answer.error()};
            auto end_of_it = give_up(std::move(nonsense), patience);
            co_return co_await std::move(end_of_it);
        }
        if (auto* said = std::get_if<Ready>(&*answer)) {
            ready = true;
            launcher.let_go();
            co_return std::move(*said);
        }
        if (auto* said = std::get_if<Failed>(&*answer)) {
            co_await see_it_end(patience.end);
            co_return std::unexpected(fmt::format("{} cannot take over: {}", name(), said->reason));
        }
    }
}

asio::awaitable<NewProcess::State::Answer> NewProcess::State::give_up(net::FdChannelError error,
                                                                      Patience patience) {
    using Kind = net::FdChannelError::Kind;
    if (error.kind == Kind::ended) co_await wait_for_end(patience.end);
    const auto how = end;
    co_await see_it_end(Duration::zero());
    if (how)
        co_return std::unexpected(fmt::format(
            "{} {} before it was ready; its messages on standard error may say why", name(), *how));
    if (error.kind == Kind::timed_out)
        co_return std::unexpected(
            fmt::format("{} was not ready after {} s; it was ended", name(),
                        std::chrono::duration<double>(patience.answer).count()));
    if (error.kind == Kind::ended)
        co_return std::unexpected(
            fmt::format("{} does not want to take over, and was ended; is it Penstock?", name()));
    co_return std::unexpected(fmt::format("{} was ended: {}", name(), error.message));
}

// By itself within that time, or not.
asio::awaitable<void> NewProcess::State::see_it_end(Duration patience) {
    if (patience > Duration::zero()) co_await wait_for_end(patience);
    if (end) co_return;
    kill();
    constexpr Duration of_the_kernel = std::chrono::seconds(5);
    co_await wait_for_end(of_the_kernel);
}

asio::awaitable<void> NewProcess::State::wait_for_end(Duration patience) {
    if (end) co_return;
    event.expires_after(patience);
    co_await event.async_wait(net::as_result);
}

std::expected<NewProcess::Launched, std::string> NewProcess::launch(const Program& program,
                                                                    Launcher& launcher) {
    if (auto good = check_upgradable(program, ::getpid()); !good)
        return std::unexpected(good.error());
    auto ends = net::make_fd_channel();
    if (!ends)
        return std::unexpected(
            fmt::format("cannot open a channel to a new process: {}", ends.error().message()));
    auto started = launcher.launch(ends->second.get());
    if (!started)
        return std::unexpected(fmt::format("cannot start {}: {}", program.file, started.error()));
    return Launched(launcher, *std::move(started), std::move(ends->first));
}

NewProcess::Launched::~Launched() {
    if (!started.pidfd) return;
    pidfd_signal(started.pidfd.get(), SIGKILL);
    if (has_ended(started.pidfd.get(), kill_patience)) static_cast<void>(launcher.how_it_ended());
}

NewProcess NewProcess::watch(asio::io_context& context, Launched launched) {
    auto state = std::make_shared<State>(context, std::move(launched));
    asio::co_spawn(context, State::watch(state), net::rethrow_failure);
    return NewProcess(std::move(state));
}

NewProcess::~NewProcess() {
    if (!state_) return;
    if (!state_->ready && !state_->end) {
        state_->kill();
        state_->reap(kill_patience);
    }
    boost::system::error_code ignored;
    state_->pidfd.close(ignored);
    state_->event.cancel();
    state_->channel.close();
}

asio::awaitable<std::expected<Ready, std::string>> NewProcess::hand_over(Manifest manifest,
                                                                         std::vector<int> fds,
                                                                         Patience patience) {
    return State::hand_over(state_, std::move(manifest), std::move(fds), patience);
}

net::FdChannel& NewProcess::channel() noexcept { return state_->channel; }
void NewProcess::signal(int number) noexcept { state_->signal(number); }
pid_t NewProcess::pid() const noexcept { return state_->pid; }
const std::optional<std::string>& NewProcess::end() const noexcept { return state_->end; }

}  // namespace penstock::app::upgrade
