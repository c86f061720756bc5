#include "admin/responses.hpp"

#include <utility>

#include <boost/json/serialize.hpp>

#include "admin/bodies.hpp"

namespace penstock::admin {

namespace http = boost::beast::http;

HttpResponse response(unsigned status, std::string_view type, std::string body) {
    HttpResponse made;
    made.result(status);
    made.set(http::field::content_type, boost::beast::string_view(type.data(), type.size()));
    made.set(http::field::cache_control, "no-store");
    made.set("X-Content-Type-Options", "nosniff");
    made.body() = std::move(body);
    return made;
}

HttpResponse plain_text(unsigned status, std::string text) {
    return response(status, "text/plain; charset=utf-8", std::move(text));
}

HttpResponse json_response(const boost::json::value& body) {
    return response(200, "application/json", boost::json::serialize(body) + "\n");
}

HttpResponse refuse(const Refusal& refusal) {
    HttpResponse made = response(refusal.status, "application/json",
                                 boost::json::serialize(to_json(refusal)) + "\n");
    if (refusal.status == 401) made.set(http::field::www_authenticate, "Bearer");
    return made;
}

}  // namespace penstock::admin
