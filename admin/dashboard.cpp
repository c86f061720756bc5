#include "admin/dashboard.hpp"

#include <fmt/format.h>

#include "admin/dashboard/page.hpp"
#include "admin/responses.hpp"
#include "base/random.hpp"

namespace penstock::admin {

namespace {

constexpr std::string_view placeholder = "@NONCE@";

std::string with_nonce(std::string_view page, std::string_view nonce) {
    std::string text;
    text.reserve(page.size() + 256);
    for (;;) {
        const auto place = page.find(placeholder);
        text += page.substr(0, place);
        if (place == std::string_view::npos) return text;
        text += nonce;
        page.remove_prefix(place + placeholder.size());
    }
}

}  // namespace

HttpResponse dashboard_response() {
    const std::string nonce = fmt::format("{:016x}{:016x}", entropy(), entropy());
    auto made = response(200, "text/html; charset=utf-8", with_nonce(dashboard_page, nonce));
    made.set("Content-Security-Policy",
             fmt::format("default-src 'none'; script-src 'nonce-{0}'; style-src 'nonce-{0}'; "
                         "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
                         "frame-ancestors 'none'",
                         nonce));
    made.set("Referrer-Policy", "no-referrer");
    return made;
}

}  // namespace penstock::admin
