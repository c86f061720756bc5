#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/json/object.hpp>

#include "admin/access.hpp"
#include "admin/operations.hpp"

namespace penstock::admin {

using HttpRequest = boost::beast::http::request<boost::beast::http::string_body>;
using HttpResponse = boost::beast::http::response<boost::beast::http::string_body>;

/// A request as far as its handler is concerned.
struct ApiRequest {
    std::vector<std::string> captured;  // what stands for U, B, L, ID in the path; decoded
    std::map<std::string, std::string> query;  // decoded
    boost::json::object body;  // of a POST; empty if it had none
    std::string text;          // the body of a POST whose route takes no JSON
    std::string actor;
    bool may_change = false;
};

/// The routes of the API, from request to response; knows nothing of sockets. Control thread.
class Api {
public:
    /// `operations` must outlive the object.
    Api(Operations& operations, config::Admin settings);
    /// From now on.
    void configure(config::Admin settings) { settings_ = std::move(settings); }

    /// Never throws for what a client may send. `/api/v1/stream` is not among its routes: what it
    /// streams is up to whoever has the socket; is_stream() tells.
    [[nodiscard]] boost::asio::awaitable<HttpResponse> handle(HttpRequest request, Caller caller,
                                                              const AccessRules& rules);
    /// The request asks for the stream and may have it.
    [[nodiscard]] bool is_stream(const HttpRequest& request, const Caller& caller,
                                 const AccessRules& rules) const;

    /// The request brings a whole configuration, and whoever sends it may do so: its body is larger
    /// than that of others. Known from the header alone.
    [[nodiscard]] bool brings_configuration(const HttpRequest& request, const Caller& caller,
                                            const AccessRules& rules) const;

    /// The content of the stream's event `status`.
    [[nodiscard]] boost::asio::awaitable<std::string> status_text();
    [[nodiscard]] Operations& operations() noexcept { return operations_; }

    enum class Body : std::uint8_t { json, toml };
    using Handler = boost::asio::awaitable<HttpResponse> (Api::*)(ApiRequest request);
    struct Route {
        boost::beast::http::verb method;
        std::string_view path;  // `*` stands for one segment
        Need need;
        Handler handler;
        Body body = Body::json;
    };

private:
    struct Match;
    [[nodiscard]] static const std::vector<Route>& routes();
    [[nodiscard]] static Match find(boost::beast::http::verb method,
                                    const std::vector<std::string>& segments);

    boost::asio::awaitable<HttpResponse> dashboard(ApiRequest request);
    boost::asio::awaitable<HttpResponse> metrics(ApiRequest request);
    boost::asio::awaitable<HttpResponse> livez(ApiRequest request);
    boost::asio::awaitable<HttpResponse> readyz(ApiRequest request);
    boost::asio::awaitable<HttpResponse> status(ApiRequest request);
    boost::asio::awaitable<HttpResponse> listeners(ApiRequest request);
    boost::asio::awaitable<HttpResponse> upstreams(ApiRequest request);
    boost::asio::awaitable<HttpResponse> upstream(ApiRequest request);
    boost::asio::awaitable<HttpResponse> sessions(ApiRequest request);
    boost::asio::awaitable<HttpResponse> closes(ApiRequest request);
    boost::asio::awaitable<HttpResponse> configuration(ApiRequest request);
    boost::asio::awaitable<HttpResponse> events(ApiRequest request);
    boost::asio::awaitable<HttpResponse> explain(ApiRequest request);
    boost::asio::awaitable<HttpResponse> stream(ApiRequest request);

    boost::asio::awaitable<HttpResponse> change_backend(ApiRequest request);
    boost::asio::awaitable<HttpResponse> kill_session(ApiRequest request);
    boost::asio::awaitable<HttpResponse> kill_backend(ApiRequest request);
    boost::asio::awaitable<HttpResponse> rebalance(ApiRequest request);
    boost::asio::awaitable<HttpResponse> pause(ApiRequest request);
    boost::asio::awaitable<HttpResponse> resume(ApiRequest request);
    boost::asio::awaitable<HttpResponse> split(ApiRequest request);
    boost::asio::awaitable<HttpResponse> drain(ApiRequest request);
    boost::asio::awaitable<HttpResponse> undrain(ApiRequest request);

    boost::asio::awaitable<HttpResponse> plan(ApiRequest request);
    boost::asio::awaitable<HttpResponse> reload(ApiRequest request);
    boost::asio::awaitable<HttpResponse> upgrade(ApiRequest request);

    [[nodiscard]] HttpResponse set_draining(const ApiRequest& request, bool draining);

    Operations& operations_;
    config::Admin settings_;
};

// What the network's clients get, for the API and its server alike.

[[nodiscard]] HttpResponse refuse(const Refusal& refusal);

}  // namespace penstock::admin
