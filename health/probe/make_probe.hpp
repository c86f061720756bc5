#pragma once

#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>

#include "config/upstream.hpp"
#include "health/probe/probe.hpp"

namespace penstock::health {

/// The probe of an upstream's `health_check`, whose type must not be `none` and must be built in.
/// `password`: what its password_file says, "" without one.
[[nodiscard]] std::unique_ptr<Probe> make_probe(boost::asio::io_context& context,
                                                const config::Upstream& settings,
                                                const std::string& password);

/// Whether this program has the library that checks of this type need.
[[nodiscard]] bool is_built(config::CheckType type) noexcept;

}  // namespace penstock::health
