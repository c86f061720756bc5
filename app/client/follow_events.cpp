#include "app/client/follow_events.hpp"

#include <optional>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include "app/client/events_view.hpp"
#include "app/client/report.hpp"
#include "app/client/terminal.hpp"

namespace penstock::app::client {

namespace asio = boost::asio;

namespace {

/// Prints each event once: the list of past ones and the stream may overlap.
class Printer {
public:
    explicit Printer(bool as_json) : as_json_(as_json) {}

    /// False if nobody reads any more.
    bool print(const json::value& event) {
        const auto sequence = number(event, "seq");
        if (sequence && last_ && *sequence <= *last_) return true;
        if (sequence) last_ = sequence;
        const auto line =
            as_json_ ? json::serialize(event) : event_line(event, TimeForm::date_and_time, canvas_);
        return write_out(line + '\n');
    }

private:
    bool as_json_;
    // Following a terminal that changes its size: its own wrapping does better than a cut.
    Canvas canvas_{.width = 0, .colour = standard_output_canvas().colour};
    std::optional<double> last_{};
};

/// The stream first, so that nothing is lost between it and the past.
asio::awaitable<ExitStatus> follow(asio::io_context& context, const ClientOptions& options,
                                   const Request& past_ones, Printer& printer) {
    EventStream stream(context, options);
    auto opening = stream.open();
    const auto opened = co_await std::move(opening);
    if (!opened) co_return report(opened.error());
    const auto past = ApiClient(options).ask(past_ones);
    if (!past) co_return report(past.error());
    boost::system::error_code error;
    const auto events = json::parse(*past, error);
    for (const auto& event : items(events))
        if (!printer.print(event)) co_return ExitStatus::success;
    for (;;) {
        auto reading = stream.next();
        const auto event = co_await std::move(reading);
        if (!event) co_return report(event.error());
        if (!*event) break;
        if ((*event)->name != "event") continue;
        const auto value = json::parse((*event)->data, error);
        if (!error && !printer.print(value)) co_return ExitStatus::success;
    }
    fmt::print(stderr, "penstock: the proxy at {} has ended the stream\n", stream.address());
    co_return ExitStatus::success;
}

}  // namespace

ExitStatus follow_events(const ClientOptions& options, const Request& past, bool as_json) {
    asio::io_context context(1);
    Printer printer(as_json);
    auto status =
        asio::co_spawn(context, follow(context, options, past, printer), asio::use_future);
    context.run();
    return status.get();
}

}  // namespace penstock::app::client
