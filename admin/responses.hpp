#pragma once

#include <string>

#include <boost/json/value.hpp>

#include "admin/api.hpp"

namespace penstock::admin {

[[nodiscard]] HttpResponse plain_text(unsigned status, std::string text);
[[nodiscard]] HttpResponse json_response(const boost::json::value& body);
/// `type` as Content-Type.
[[nodiscard]] HttpResponse response(unsigned status, std::string_view type, std::string body);

}  // namespace penstock::admin
