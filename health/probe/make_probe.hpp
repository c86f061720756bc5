#pragma once

#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>

#include "config/upstream.hpp"
#include "health/probe/probe.hpp"

namespace penstock::health {

/// The check that an upstream asks for; null for `none`. What it needs of `upstream` is copied. The
/// probe may go while its checks run: they end as they would. `password`: what password_file holds,
/// "" = none. `context` must outlive the probe. Throws std::runtime_error when a library cannot be
/// set up.
[[nodiscard]] std::unique_ptr<Probe> make_probe(boost::asio::io_context& context,
                                                const config::Upstream& upstream,
                                                std::string password);

/// Whether this program has the library that checks of this type need.
[[nodiscard]] bool is_built(config::CheckType type) noexcept;

}  // namespace penstock::health
