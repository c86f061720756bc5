#pragma once

#include <memory>
#include <utility>

#include "app/server.hpp"
#include "health/data_plane.hpp"

namespace penstock::app {

/// The workers, as one upstream's health sees them.
class UpstreamPlane final : public health::DataPlane {
public:
    UpstreamPlane(Server& server, std::shared_ptr<proxy::UpstreamShared> upstream,
                  config::Drain drain)
        : server_(server), upstream_(std::move(upstream)), drain_(drain) {}

    void publish(std::shared_ptr<const balancer::Snapshot> snapshot) override {
        server_.publish(upstream_, std::move(snapshot));
    }
    void end_sessions(const health::EndSessions& which) override {
        server_.end_sessions(which, drain_);
    }
    void keep_sessions(const std::shared_ptr<const balancer::Backend>& backend,
                       health::EndCause cause) override {
        server_.keep_sessions(backend, cause);
    }
    void set_drain(const config::Drain& drain) noexcept { drain_ = drain; }

private:
    Server& server_;
    std::shared_ptr<proxy::UpstreamShared> upstream_;
    config::Drain drain_;
};

}  // namespace penstock::app
