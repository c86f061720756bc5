#pragma once

#include <map>
#include <string>

#include "admin/api.hpp"
#include "admin/model.hpp"

namespace penstock::admin {

/// 200 while every worker's loop turns, else 503 and who is stuck.
[[nodiscard]] HttpResponse livez_of(const Overview& overview);

/// 200 while clients should come here, else 503 with the causes. `query` may name one upstream or
/// one listener; else `ready_upstreams` of the configuration count. Where clients ask for a role,
/// it is backends in that role that count.
[[nodiscard]] HttpResponse readyz_of(const Overview& overview, const config::Admin& settings,
                                     const std::map<std::string, std::string>& query);

}  // namespace penstock::admin
