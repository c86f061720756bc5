#include "health/probe/exchange_probe.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "health/probe/connection.hpp"
#include "health/probe/detail.hpp"

namespace penstock::health {

struct ExchangeProbe::Settings {
    Duration timeout;
    config::ExchangeCheck exchange;
    Opening opening;
};

namespace {

constexpr const char* waiting = "waiting for the answer";
constexpr std::size_t piece = std::size_t{4} << 10;

std::string lacks(std::string_view answer, std::string_view expected) {
    return fmt::format("answer lacks {}: {}", quoted(expected), quoted(answer));
}

// Why nothing more came, and what had come.
ProbeResult ended(const Stream& stream, std::string_view answer, std::string_view expected) {
    const std::string& error = stream.error();
    if (answer.empty())
        return failure(error.empty() ? "closed by the server without an answer" : error);
    const std::string text = lacks(answer, expected);
    return failure(error.empty() ? text : fmt::format("{}: {}", error, text));
}

boost::asio::awaitable<ProbeResult> run(boost::asio::io_context& context,
                                        std::shared_ptr<const ExchangeProbe::Settings> settings,
                                        ProbeTarget target, TimePoint deadline) {
    const auto& [to_send, expected] = settings->exchange;
    Stream stream(context, deadline, settings->timeout);
    std::string name = server_name_of(target.host);
    auto opening = open(stream, std::move(target), settings->opening, std::move(name));
    if (!co_await std::move(opening)) co_return failure(stream.error());
    if (to_send.empty() && expected.empty()) co_return success("connected");
    if (!co_await stream.write(to_send, "sending")) co_return failure(stream.error());

    std::string answer;
    while (answer.size() < Probe::max_answer) {
        const std::size_t before = answer.size();
        answer.resize(std::min(before + piece, Probe::max_answer));
        const std::span<char> room(answer.data() + before, answer.size() - before);
        const std::size_t count = co_await stream.read(room, waiting);
        answer.resize(before + count);
        if (count == 0) co_return ended(stream, answer, expected);
        // It may have begun in what came before.
        const std::size_t from = before - std::min(before, expected.size());
        if (answer.find(expected, from) != std::string::npos) co_return success("answered");
    }
    co_return failure("first 64 KiB of the " + lacks(answer, expected));
}

}  // namespace

ExchangeProbe::ExchangeProbe(boost::asio::io_context& context, Duration timeout,
                             config::ExchangeCheck settings, Opening opening)
    : context_(context),
      settings_(std::make_shared<const Settings>(
          Settings{timeout, std::move(settings), std::move(opening)})) {}

// The coroutine knows nothing of this object, which may go first.
boost::asio::awaitable<ProbeResult> ExchangeProbe::check(ProbeTarget target, TimePoint deadline) {
    return run(context_, settings_, std::move(target), deadline);
}

}  // namespace penstock::health
