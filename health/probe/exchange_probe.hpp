#pragma once

#include <memory>

#include <boost/asio/io_context.hpp>

#include "config/config.hpp"
#include "health/probe/connection.hpp"
#include "health/probe/probe.hpp"

namespace penstock::health {

/// Sends bytes and waits until the answer contains others. Nothing to send: the server speaks
/// first. Nothing to expect: any answer will do. Neither: it is enough to be connected.
class ExchangeProbe final : public Probe {
public:
    /// `timeout`: for the words of a time-out.
    ExchangeProbe(boost::asio::io_context& context, Duration timeout,
                  config::ExchangeCheck settings, Opening opening);

    boost::asio::awaitable<ProbeResult> check(ProbeTarget target, TimePoint deadline) override;

    struct Settings;

private:
    boost::asio::io_context& context_;
    std::shared_ptr<const Settings> settings_;
};

}  // namespace penstock::health
