#pragma once

#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <sys/types.h>

#include "app/upgrade/launcher.hpp"
#include "app/upgrade/messages.hpp"
#include "app/upgrade/program.hpp"
#include "base/clock.hpp"
#include "net/fd_channel.hpp"

namespace penstock::app::upgrade {

/// The successor of this process, from its start until this one ends. Until it has said that it is
/// ready, it is nothing but an attempt: whatever goes wrong ends it, and this process goes on.
/// Thread of the io_context.
class NewProcess {
public:
    /// A program that was started, and that nobody watches yet; killed if nobody ever does.
    struct Launched {
        Launched(Launcher& its_launcher, Launcher::Started program, net::UniqueFd own_end)
            : launcher(its_launcher), started(std::move(program)), channel(std::move(own_end)) {}
        Launched(Launched&&) noexcept = default;
        Launched& operator=(Launched&&) = delete;
        ~Launched();

        Launcher& launcher;
        Launcher::Started started;
        net::UniqueFd channel;
    };

    struct Patience {
        Duration answer = std::chrono::seconds(60);
        /// Until it ends by itself, after it said that it failed or closed its channel.
        Duration end = std::chrono::seconds(5);
    };

    /// Any thread: waits as long as the program's disk takes, half a minute at most. `launcher`: of
    /// that program; it must outlive the object. The error is a sentence.
    [[nodiscard]] static std::expected<Launched, std::string> launch(const Program& program,
                                                                     Launcher& launcher);
    [[nodiscard]] static NewProcess watch(boost::asio::io_context& context, Launched launched);
    /// One that is not ready is killed.
    ~NewProcess();
    NewProcess(NewProcess&&) noexcept = default;
    NewProcess& operator=(NewProcess&&) = delete;

    /// Hands everything over; `fds` as the manifest counts them, and open until it is done. What
    /// the new process answers, or a sentence that says why there is none any more.
    /// One that is ready is let go by the launcher, and ends without a word but its channel's.
    [[nodiscard]] boost::asio::awaitable<std::expected<Ready, std::string>> hand_over(
        Manifest manifest, std::vector<int> fds, Patience patience);

    /// For what both tell each other once the new process is ready.
    [[nodiscard]] net::FdChannel& channel() noexcept;
    [[nodiscard]] pid_t pid() const noexcept;
    /// Nothing happens if it has ended.
    void signal(int number) noexcept;
    /// How it ended before it was ready: `has ended with status 3`; nothing = it has not.
    [[nodiscard]] const std::optional<std::string>& end() const noexcept;

private:
    struct State;
    explicit NewProcess(std::shared_ptr<State> state) : state_(std::move(state)) {}

    std::shared_ptr<State> state_;
};

}  // namespace penstock::app::upgrade
