#pragma once

#include "admin/api.hpp"

namespace penstock::admin {

/// The dashboard: one page with its style and script in it, each of which bears this response's
/// nonce, so that nothing else can run there.
[[nodiscard]] HttpResponse dashboard_response();

}  // namespace penstock::admin
