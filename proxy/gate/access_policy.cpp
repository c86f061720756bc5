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
                                 bool with_allow, bool with_deny) {
    const bool only_allowed =
        with_allow && (!listener.allow.empty() || !listener.allow_file.empty());
    return {with_allow ? together(listener.allow, files.allow) : PeerList{},
            with_deny ? together(listener.deny, files.deny) : PeerList{}, only_allowed};
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
    : enforced_(make_rules(listener, files, !listener.dry_run.allow, !listener.dry_run.deny)) {
    if (listener.dry_run.allow || listener.dry_run.deny)
        all_.emplace(make_rules(listener, files, true, true));
}

AccessPolicy::Verdict AccessPolicy::check(const CompactEndpoint& peer) const noexcept {
    if (enforced_.denies(peer)) return {.denied = true};
    return {.would_be_denied = all_ && all_->denies(peer)};
}

}  // namespace penstock::proxy
