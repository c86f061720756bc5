#pragma once

#include <expected>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "app/upgrade/messages.hpp"
#include "base/clock.hpp"
#include "config/interpolate.hpp"
#include "net/fd_channel.hpp"
#include "net/unique_fd.hpp"

namespace penstock::app::upgrade {

/// The process that this one takes over from, while this one starts. Calls wait.
class Predecessor {
public:
    /// How long the manifest may take: the old process sends it at once.
    static constexpr Duration usual_limit = std::chrono::seconds(30);

    /// What it leaves, each descriptor in its list: those of the sockets and the admin sockets in
    /// the order in which the manifest counts them, one channel for each older process.
    struct Estate {
        Manifest manifest{};
        std::vector<net::UniqueFd> sockets{};
        std::vector<net::UniqueFd> admin_sockets{};
        std::vector<net::UniqueFd> channels{};
    };

    /// Nothing: this is an ordinary start. The error is a sentence: somebody has set the variable
    /// who should not.
    [[nodiscard]] static std::expected<std::optional<Predecessor>, std::string> find(
        const config::Environment& environment);

    [[nodiscard]] std::expected<Estate, std::string> receive(TimePoint deadline);
    /// From here on it does not accept any more. The error, a sentence: it does not know, because
    /// it has ended or does not listen.
    [[nodiscard]] std::expected<void, std::string> say_ready(const Ready& ready,
                                                             TimePoint deadline);
    /// What it has counted, which it says first once it knows that this one is ready.
    [[nodiscard]] std::expected<Figures, std::string> receive_figures(TimePoint deadline);
    /// The reason is shown to who asked for the upgrade. This process has to end then.
    void say_failed(const std::string& reason, TimePoint deadline) noexcept;
    /// The channel to it as to an old process from now on.
    [[nodiscard]] net::UniqueFd release() noexcept { return channel_.release(); }

private:
    explicit Predecessor(net::UniqueFd fd) : channel_(std::move(fd)) {}

    net::BlockingFdChannel channel_;
};

/// No child shall take the variable for its own. Before there are other threads.
void forget_upgrade_variable() noexcept;

}  // namespace penstock::app::upgrade
