#include "proxy/gate/access_policy.hpp"

namespace penstock::proxy {

namespace {

PeerList together(PeerList list, const PeerList& more) {
    list.prefixes.insert(list.prefixes.end(), more.prefixes.begin(), more.prefixes.end());
    list.unix_peers |= more.unix_peers;
    list.all |= more.all;
    return list;
}

balancer::AccessRules make_rules(const config::Listener& listener, const AccessPolicy::Files& files,
                                 const config::DryRun& without) {
    const bool only_allowed =
        !without.allow && (!listener.allow.empty() || !listener.allow_file.empty());
    return {without.allow ? PeerList{} : together(listener.allow, files.allow),
            without.deny ? PeerList{} : together(listener.deny, files.deny), only_allowed};
}

}  // namespace

std::shared_ptr<const AccessPolicy> AccessPolicy::make(const config::Listener& listener,
                                                       const Files& files) {
    if (listener.allow.empty() && listener.deny.empty() && listener.allow_file.empty() &&
        listener.deny_file.empty())
        return nullptr;
    return std::make_shared<const AccessPolicy>(listener, files);
}

AccessPolicy::AccessPolicy(const config::Listener& listener, const Files& files)
    : enforced_(make_rules(listener, files, listener.dry_run)) {
    if (listener.dry_run.allow || listener.dry_run.deny)
        all_.emplace(make_rules(listener, files, {}));
}

AccessPolicy::Verdict AccessPolicy::check(const CompactEndpoint& peer) const noexcept {
    if (enforced_.denies(peer)) return {.denied = true};
    return {.would_be_denied = all_ && all_->denies(peer)};
}

}  // namespace penstock::proxy
