#include "balancer/selector.hpp"

#include <utility>

namespace penstock::balancer {

Selector::Selector(std::shared_ptr<const BackendSet> set, PolicyKind kind, std::uint64_t seed)
    : set_(std::move(set)), available_(set_->size()), allowed_(set_->size()), random_(seed) {
    policies_.reserve(set_->tiers().size());
    for (const auto& tier : set_->tiers())
        policies_.push_back(make_policy(kind, *set_, tier, random_));
    for (std::uint32_t i = 0; i < set_->size(); ++i) set_available(i, true);
}

std::optional<std::uint32_t> Selector::pick(const Bitmap& tried) {
    if (stale_) prepare();
    const Bitmap* allowed = &available_;
    if (tried.size() != 0) {
        allowed_.assign_and_not(available_, tried);
        allowed = &allowed_;
    }
    const auto& tiers = set_->tiers();
    for (std::size_t t = 0; t < tiers.size(); ++t) {
        const auto& tier = tiers[t];
        if (allowed->any_in(tier.begin, tier.end))
            return policies_[t]->pick({*set_, *allowed, tier.begin, tier.end}, random_);
    }
    return std::nullopt;
}

bool Selector::can_pick(const Bitmap& tried) const noexcept {
    return available_.any_and_not(tried);
}

bool Selector::any_available() const noexcept { return available_.any(); }

bool Selector::available(std::uint32_t index) const noexcept { return available_.test(index); }

void Selector::set_available(std::uint32_t index, bool available) noexcept {
    const bool usable = available && set_->usable_weight(index) != 0;
    if (usable == available_.test(index)) return;
    if (usable)
        available_.set(index);
    else
        available_.reset(index);
    stale_ = true;
}

// Put off until the next pick, so that many verdicts at once cost one preparation.
void Selector::prepare() noexcept {
    for (const auto& policy : policies_) policy->prepare(available_);
    stale_ = false;
}

}  // namespace penstock::balancer
