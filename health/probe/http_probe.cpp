#include "health/probe/http_probe.hpp"

#include <array>
#include <sstream>
#include <string>
#include <utility>

#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/write.hpp>
#include <fmt/format.h>

#include "health/probe/connection.hpp"
#include "health/probe/detail.hpp"
#include "health/probe/http_answer.hpp"

namespace penstock::health {

namespace http = boost::beast::http;

struct HttpProbe::Settings {
    Duration timeout;
    config::HttpCheck http;
    Opening opening;
};

namespace {

constexpr const char* waiting = "waiting for the answer";

// An IPv6 address without its zone: that means something on this machine only.
std::string host_of(const ProbeTarget& target, const config::HttpCheck& settings) {
    if (!settings.host.empty()) return settings.host;
    if (target.address.is_unix()) return "localhost";
    if (!target.host.empty()) return fmt::format("{}:{}", target.host, target.address.port());
    std::string text = target.address.to_string();
    if (const auto zone = text.find('%'); zone != std::string::npos)
        text.erase(zone, text.find(']') - zone);
    return text;
}

std::string request_for(const ProbeTarget& target, const config::HttpCheck& settings) {
    http::request<http::empty_body> request;
    request.version(11);
    request.method_string(settings.method);
    request.target(settings.path);
    request.set(http::field::host, host_of(target, settings));
    request.set(http::field::user_agent, "penstock-check");
    request.set(http::field::accept, "*/*");
    request.set(http::field::connection, "close");
    request.prepare_payload();
    std::ostringstream text;
    text << request;
    return text.str();
}

// Servers that choose a certificate by name want one even from those who come by address.
std::string server_name_for(const ProbeTarget& target, const config::HttpCheck& settings) {
    if (!target.host.empty()) return server_name_of(target.host);
    const std::string_view host = settings.host;
    return host.starts_with('[') ? std::string() : server_name_of(host.substr(0, host.find(':')));
}

boost::asio::awaitable<ProbeResult> run(boost::asio::io_context& context,
                                        std::shared_ptr<const HttpProbe::Settings> settings,
                                        ProbeTarget target, TimePoint deadline) {
    Stream stream(context, deadline, settings->timeout);
    const std::string request = request_for(target, settings->http);
    std::string name = server_name_for(target, settings->http);
    auto opening = open(stream, std::move(target), settings->opening, std::move(name));
    if (!co_await std::move(opening)) co_return failure(stream.error());
    if (!co_await stream.write(request, "sending the request")) co_return failure(stream.error());

    HttpAnswer answer(settings->http);
    std::string piece(std::size_t{4} << 10, '\0');
    for (;;) {
        const std::size_t count = co_await stream.read(piece, waiting);
        if (count == 0) co_return answer.end(stream.error());
        const std::string_view bytes(piece.data(), count);
        if (auto verdict = answer.add(bytes)) co_return std::move(*verdict);
    }
}

}  // namespace

HttpProbe::HttpProbe(boost::asio::io_context& context, Duration timeout, config::HttpCheck settings,
                     Opening opening)
    : context_(context),
      settings_(std::make_shared<const Settings>(
          Settings{timeout, std::move(settings), std::move(opening)})) {}

// The coroutine knows nothing of this object, which may go first.
boost::asio::awaitable<ProbeResult> HttpProbe::check(ProbeTarget target, TimePoint deadline) {
    return run(context_, settings_, std::move(target), deadline);
}

}  // namespace penstock::health
