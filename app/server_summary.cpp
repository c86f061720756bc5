// What a server has done, in one line for the log.
#include <map>
#include <numeric>

#include <fmt/format.h>

#include "app/server.hpp"
#include "app/with_commas.hpp"
#include "proxy/figures.hpp"

namespace penstock::app {

std::string Server::summary() const {
    std::uint64_t accepted = 0;
    std::uint64_t log_lost = log_lines_lost();
    std::uint64_t suppressed = 0;
    std::array<std::uint64_t, close_reason_count> closed{};
    for (const auto& worker : workers_) {
        log_lost += worker->cells().log_dropped.value();
        suppressed += worker->cells().log_suppressed.value();
    }
    for (std::size_t l = 0; l < listeners_.size(); ++l) {
        const auto figures = proxy::listener_figures(*listeners_[l]->account);
        accepted += figures.totals.accepted;
        for (std::size_t i = 0; i < closed.size(); ++i)
            closed[i] += figures.closed_by(static_cast<CloseReason>(i));
    }
    std::string text = with_commas(accepted) + " connections";
    for (std::size_t i = 0; i < closed.size(); ++i)
        if (closed[i] != 0)
            text += fmt::format(", {} {}", with_commas(closed[i]),
                                name_of(static_cast<CloseReason>(i)));
    text += gates_summary() + upstreams_summary();
    if (log_writer_)
        text += fmt::format("; access log: {} lines written, {} lost, {} suppressed",
                            with_commas(log_lines_written()), with_commas(log_lost),
                            with_commas(suppressed));
    return text;
}

// `; listener web: 3 accept errors, would refuse 12 denied`; nothing of listeners without such
// events.
std::string Server::gates_summary() const {
    std::string text;
    for (std::size_t l = 0; l < listeners_.size(); ++l) {
        std::string events;
        const auto add = [&](std::uint64_t n, std::string_view what) {
            if (n != 0)
                events += fmt::format("{}{} {}", events.empty() ? "" : ", ", with_commas(n), what);
        };
        const auto totals = proxy::listener_figures(*listeners_[l]->account).totals;
        const auto& errors = totals.accept_errors;
        const auto& let_pass = totals.let_pass;
        add(std::accumulate(errors.begin(), errors.end(), std::uint64_t{0}), "accept errors");
        add(listeners_[l]->gate.source_overflows(), "sources without an account");
        for (std::size_t i = 0; i < let_pass.size(); ++i)
            add(let_pass[i],
                fmt::format("{} let pass by a dry run", name_of(static_cast<CloseReason>(i))));
        if (!events.empty())
            text += fmt::format("; listener {}: {}", config_->listeners[l].name, events);
    }
    std::uint64_t pauses = 0;
    for (const auto& worker : workers_) pauses += worker->cells().accept_pauses.value();
    if (pauses != 0) text += fmt::format("; accepting paused {} times", with_commas(pauses));
    return text;
}

// `; upstream db: 12 queued, 3 retries`; nothing of upstreams without such events.
std::string Server::upstreams_summary() const {
    struct Row {
        std::string_view name;
        std::uint64_t metrics::UpstreamTotals::* counter;
    };
    using Cells = metrics::UpstreamTotals;
    static constexpr Row rows[] = {{"queued", &Cells::queued},
                                   {"held", &Cells::held},
                                   {"retries", &Cells::retries},
                                   {"retries over budget", &Cells::retries_denied},
                                   {"times no local port", &Cells::no_port},
                                   {"warm connections used", &Cells::warm_used},
                                   {"given up", &Cells::warm_given_up},
                                   {"failed", &Cells::warm_failed}};
    std::string text;
    for (std::size_t u = 0; u < config_->upstreams.size(); ++u) {
        std::string events;
        const auto totals = proxy::upstream_totals(*upstreams_[u]);
        for (const auto& [name, counter] : rows) {
            if (const std::uint64_t sum = totals.*counter; sum != 0)
                events +=
                    fmt::format("{}{} {}", events.empty() ? "" : ", ", with_commas(sum), name);
        }
        if (!events.empty())
            text += fmt::format("; upstream {}: {}", config_->upstreams[u].name, events);
    }
    return text;
}

}  // namespace penstock::app
