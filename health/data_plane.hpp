#pragma once

#include <cstdint>
#include <memory>

#include "balancer/backend.hpp"
#include "balancer/snapshot.hpp"
#include "base/role.hpp"

namespace penstock::health {

/// Why sessions of a backend have to end.
enum class EndCause : std::uint8_t {
    down,          // on_backend_down
    role_changed,  // on_role_change: only those that asked for the role it lost
    removed,       // it left the upstream
};

struct EndSessions {
    std::shared_ptr<const balancer::Backend> backend;
    EndCause cause;
    Role asked = Role::none;  // role_changed: sessions that asked for this role
    bool at_once = false;     // else by the upstream's `drain`
};

/// What health tells the workers of one upstream. Control thread; the implementation passes it on.
class DataPlane {
public:
    virtual ~DataPlane() = default;

    /// From now on connections go by this. Its set may be a new one; what left the set is kept
    /// until its sessions have ended.
    virtual void publish(std::shared_ptr<const balancer::Snapshot> snapshot) = 0;
    /// Live sessions of a backend end, now or by and by. A later call for the same backend and
    /// cause replaces the earlier one.
    virtual void end_sessions(const EndSessions& which) = 0;
    /// Those that have not been ended yet for this cause stay.
    virtual void keep_sessions(const std::shared_ptr<const balancer::Backend>& backend,
                               EndCause cause) = 0;
};

}  // namespace penstock::health
