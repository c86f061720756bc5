#pragma once

#include <string_view>

namespace penstock::admin {

/// The dashboard: one HTML page that needs nothing else. Each `@NONCE@` in it is to be replaced,
/// with every answer anew, by the nonce that the answer's Content-Security-Policy names for scripts
/// and styles.
extern const std::string_view dashboard_page;

}  // namespace penstock::admin
