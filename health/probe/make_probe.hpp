#pragma once

#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>

#include "config/upstream.hpp"
#include "health/probe/probe.hpp"
#include "net/tls/context.hpp"

namespace penstock::health {

/// What checks of an upstream use beside its settings; made where files may be read.
struct CheckInputs {
    std::string password{};  // what password_file holds, "" = none
    /// That of the upstream's traffic; null only without [upstream.tls].
    std::shared_ptr<const net::tls::ClientContext> tls{};
};

/// The check that an upstream asks for; null for `none`. What it needs of `upstream` is copied. The
/// probe may go while its checks run: they end as they would. `context` must outlive the probe.
/// Throws std::runtime_error when a library cannot be set up, or `inputs` lacks what is needed.
[[nodiscard]] std::unique_ptr<Probe> make_probe(boost::asio::io_context& context,
                                                const config::Upstream& upstream,
                                                CheckInputs inputs);

/// Whether this program has the library that checks of this type need.
[[nodiscard]] bool is_built(config::CheckType type) noexcept;

}  // namespace penstock::health
