#pragma once

#include <memory>

#include <boost/asio/io_context.hpp>

#include "config/config.hpp"
#include "health/probe/connection.hpp"
#include "health/probe/probe.hpp"

namespace penstock::health {

/// Sends one HTTP/1.1 request and judges the answer (http_answer.hpp).
class HttpProbe final : public Probe {
public:
    /// `timeout`: for the words of a time-out.
    HttpProbe(boost::asio::io_context& context, Duration timeout, config::HttpCheck settings,
              Opening opening);

    boost::asio::awaitable<ProbeResult> check(ProbeTarget target, TimePoint deadline) override;

    struct Settings;

private:
    boost::asio::io_context& context_;
    std::shared_ptr<const Settings> settings_;
};

}  // namespace penstock::health
