// Any bytes on a connection of the admin API: each request is answered with a status, nothing
// crashes, and no status is that of a failure of ours.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/beast/http/parser.hpp>

#include "admin/api.hpp"
#include "tests/unit/admin/fake_operations.hpp"

namespace {

using namespace penstock;
namespace http = boost::beast::http;

void answer(admin::HttpRequest request) {
    test::FakeOperations operations;
    operations.view.upstreams.push_back({.name = "web"});
    const config::Admin settings;
    admin::Api api(operations, settings);
    const admin::AccessRules rules(config::AdminListener{}, {}, "");
    boost::asio::io_context context;
    unsigned status = 0;
    boost::asio::co_spawn(context, api.handle(std::move(request), {.over_unix = true}, rules),
                          [&](std::exception_ptr error, const admin::HttpResponse& response) {
                              if (error) std::rethrow_exception(error);
                              status = response.result_int();
                          });
    context.run();
    const bool ours = status == 503;  // /readyz: nothing is served here
    if (status < 200 || (status >= 500 && !ours)) {
        std::fprintf(stderr, "status %u\n", status);
        std::abort();
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::size_t at = 0;
    while (at < size) {
        http::request_parser<http::string_body> parser;
        parser.header_limit(16U << 10);
        parser.body_limit(1U << 20);
        parser.eager(true);
        boost::beast::error_code error;
        const auto used = parser.put(boost::asio::buffer(data + at, size - at), error);
        if (error || !parser.is_done() || used == 0) return 0;
        at += used;
        answer(parser.release());
    }
    return 0;
}
