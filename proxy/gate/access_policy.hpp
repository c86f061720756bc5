#pragma once

#include <memory>
#include <optional>

#include "balancer/limits/access_rules.hpp"
#include "base/prefix.hpp"
#include "config/config.hpp"

namespace penstock::proxy {

/// What a listener's `allow` and `deny` say of a peer, with what their files contain. Immutable;
/// posted to each worker when a file has changed.
class AccessPolicy {
public:
    /// What the files contain; empty where there is none.
    struct Files {
        PeerList allow;
        PeerList deny;
        bool operator==(const Files&) const = default;
    };

    /// Null if the listener lets in everybody. An `allow_file` admits nobody while it is empty:
    /// losing its lines must not open the door.
    [[nodiscard]] static std::shared_ptr<const AccessPolicy> make(const config::Listener& listener,
                                                                  const Files& files);
    AccessPolicy(const config::Listener& listener, const Files& files);

    struct Verdict {
        bool denied = false;
        bool would_be_denied = false;  // by a list that is in `dry_run`
    };
    [[nodiscard]] Verdict check(const CompactEndpoint& peer) const noexcept;

private:
    balancer::AccessRules enforced_;
    std::optional<balancer::AccessRules> all_;  // if that is more than what is enforced
};

}  // namespace penstock::proxy
