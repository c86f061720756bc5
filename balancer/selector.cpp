#include "balancer/selector.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace penstock::balancer {

namespace {

bool is_in(const Bitmap* bitmap, std::size_t i) noexcept {
    return bitmap != nullptr && i < bitmap->size() && bitmap->test(i);
}

// A ramp moves in steps: finer ones would be felt by nobody and cost a preparation each.
Duration ramp_step(const SlowStart& slow_start) noexcept {
    return std::max<Duration>(slow_start.window / 64, std::chrono::milliseconds(50));
}

}  // namespace

Selector::Selector(std::shared_ptr<const BackendSet> set, const SelectorOptions& options,
                   std::uint64_t seed)
    : set_(std::move(set)), options_(options), random_(seed) {
    build();
    join_tiers();
}

// For set_ as it is now: everybody is available who may be.
void Selector::build() {
    // Of an upstream that has left there is nobody to join.
    assert(options_.tier_join_below == 0 || set_->tiers_join() || set_->size() == 0);
    available_ = Bitmap(set_->size());
    forced_ = Bitmap(set_->size());
    allowed_ = Bitmap(set_->size());
    weights_.clear();
    weights_.reserve(set_->size());
    for (std::uint32_t i = 0; i < set_->size(); ++i) {
        weights_.push_back(set_->usable_weight(i) * weight_scale);
        if (weights_.back() != 0) available_.set(i);
    }
    policies_.clear();
    policies_.reserve(set_->ranges().size());
    for (std::size_t range = 0; range < set_->ranges().size(); ++range)
        policies_.push_back(
            make_policy({options_.kind, options_.bounded_load}, *set_, range, weights_, random_));
    refresh_at_ = options_.slow_start.window == Duration{} ? no_deadline : TimePoint::min();
    joined_ = 0;
    stale_ = true;
}

void Selector::adopt(const Snapshot& snapshot, Role role) {
    if (snapshot.set != set_) {
        set_ = snapshot.set;
        build();
    }
    const Snapshot::View& view = snapshot.view(role);
    for (std::uint32_t i = 0; i < set_->size(); ++i) {
        const bool usable = view.available.test(i) && set_->usable_weight(i) != 0;
        if (usable)
            available_.set(i);
        else
            available_.reset(i);
        if (usable && view.forced.test(i))
            forced_.set(i);
        else
            forced_.reset(i);
    }
    join_tiers();
    stale_ = true;
    // Who comes back may start slowly.
    if (options_.slow_start.window != Duration{}) refresh_at_ = TimePoint::min();
}

std::expected<Pick, PickFailure> Selector::pick(const PickRequest& request) {
    if (request.now >= refresh_at_) refresh_weights(request.now);
    if (stale_) prepare();
    const bool limited = set_->limited();
    const Bitmap* open = &available_;
    if (limited || request.tried.size() != 0) {
        allowed_.assign_and_not(available_, request.tried);
        open = &allowed_;
    }
    auto failure = PickFailure::none_available;
    const auto& ranges = set_->ranges();
    for (std::size_t r = joined_; r < ranges.size(); ++r) {
        if (!open->any_in(ranges[r].begin, ranges[r].end)) continue;
        if (limited) drop_full(ranges[r], request.ready_made);
        if (auto pick = take(r, open, request)) return *std::move(pick);
        failure = PickFailure::all_full;
        if (!options_.spill_when_full) break;
    }
    return std::unexpected(failure);
}

Selector::Outlook Selector::look(const PickRequest& request) {
    if (request.now >= refresh_at_) refresh_weights(request.now);
    if (stale_) prepare();
    Outlook outlook{Bitmap(set_->size()), std::nullopt};
    allowed_.assign_and_not(available_, request.tried);
    const auto& ranges = set_->ranges();
    for (std::size_t r = joined_; r < ranges.size() && !outlook.choice; ++r) {
        const auto [begin, end] = ranges[r];
        if (!allowed_.any_in(begin, end)) continue;
        for (std::uint32_t i = begin; i < end; ++i) {
            const Backend& backend = set_->backend(i);
            if (allowed_.test(i) && !backend.full() &&
                (forced_.test(i) || backend.outcomes().circuit().passable()))
                outlook.candidates.set(i);
        }
        if (outlook.candidates.any_in(begin, end))
            outlook.choice = policies_[r]->pick(
                {*set_, outlook.candidates, begin, end, weights_, request.key, request.now},
                random_);
        if (!options_.spill_when_full) break;
    }
    return outlook;
}

// One of `open`, with its permits. Who refuses one leaves `allowed_`, of which `open` is a copy
// then.
std::optional<Pick> Selector::take(std::size_t range, const Bitmap* open,
                                   const PickRequest& request) {
    const auto [begin, end] = set_->ranges()[range];
    while (open->any_in(begin, end)) {
        const std::uint32_t i = policies_[range]->pick(
            {*set_, *open, begin, end, weights_, request.key, request.now}, random_);
        if (auto pick = take_from(i, request)) return pick;
        if (open != &allowed_) {
            allowed_.assign_and_not(*open, {});
            open = &allowed_;
        }
        allowed_.reset(i);
    }
    return std::nullopt;
}

std::optional<Pick> Selector::take_from(std::uint32_t index, const PickRequest& request) {
    Backend& backend = set_->backend(index);
    const auto passed = pass(index);
    if (!passed) return std::nullopt;
    if (is_in(request.ready_made, index)) return Pick{index, {}, {}, *passed};
    Permit slot = backend.slots().try_acquire();
    Permit connecting = slot ? backend.connecting().try_acquire() : Permit();
    if (connecting) return Pick{index, std::move(slot), std::move(connecting), *passed};
    backend.circuit().give_back(*passed);  // another worker was faster
    return std::nullopt;
}

std::optional<CircuitPass> Selector::pass(std::uint32_t index) noexcept {
    Circuit& circuit = set_->backend(index).circuit();
    if (forced_.test(index)) return circuit.pass_anyway();
    return circuit.try_pass();
}

void Selector::drop_full(const BackendSet::Range& range, const Bitmap* ready_made) noexcept {
    Backend* const* const backends = set_->backends().data();
    available_.for_each_stretch(range.begin, range.end, [&](std::size_t first, std::size_t last) {
        for (std::size_t i = first; i != last; ++i)
            if (backends[i]->full() && !is_in(ready_made, i)) allowed_.reset(i);
    });
}

bool Selector::can_pick(const Bitmap& tried) const noexcept {
    return available_.any_and_not(tried);
}

bool Selector::has_room() const noexcept {
    const auto& ranges = set_->ranges();
    for (std::size_t r = joined_; r < ranges.size(); ++r) {
        const auto [begin, end] = ranges[r];
        if (!available_.any_in(begin, end)) continue;
        for (const std::uint32_t i : available_.ones(begin, end))
            if (!set_->backend(i).full() &&
                (forced_.test(i) || set_->backend(i).circuit().passable()))
                return true;
        if (!options_.spill_when_full) break;
    }
    return false;
}

bool Selector::any_available() const noexcept { return available_.any(); }

bool Selector::available(std::uint32_t index) const noexcept { return available_.test(index); }

bool Selector::forced(std::uint32_t index) const noexcept { return forced_.test(index); }

void Selector::set_available(std::uint32_t index, bool available) noexcept {
    const bool usable = available && set_->usable_weight(index) != 0;
    forced_.reset(index);
    if (usable == available_.test(index)) return;
    if (usable)
        available_.set(index);
    else
        available_.reset(index);
    join_tiers();
    stale_ = true;
    // Who comes back may start slowly.
    if (usable && options_.slow_start.window != Duration{}) refresh_at_ = TimePoint::min();
}

// Sets joined_: tiers are added from below until more than the share is available.
void Selector::join_tiers() noexcept {
    if (options_.tier_join_below == 0) return;
    const auto& tiers = set_->tiers();
    const std::size_t end = std::min(tiers.size(), BackendSet::max_joining_tiers);
    double ready = 0;
    double up = 0;
    joined_ = 0;
    for (std::size_t t = 0; t < end; ++t) {
        joined_ = t;
        for (std::uint32_t i = tiers[t].begin; i < tiers[t].end; ++i) {
            ready += set_->usable_weight(i);
            if (available_.test(i)) up += set_->weight(i);
        }
        if (up > options_.tier_join_below * ready) break;
    }
}

void Selector::refresh_weights(TimePoint now) noexcept {
    refresh_at_ = deadline_after(now, ramp_step(options_.slow_start));
    for (std::uint32_t i = 0; i < set_->size(); ++i) {
        const auto since = set_->backend(i).slow_since();
        const std::uint32_t weight = effective_weight(
            set_->usable_weight(i), since ? now - *since : never, options_.slow_start);
        stale_ = stale_ || weight != weights_[i];
        weights_[i] = weight;
    }
}

// Put off until the next pick, so that many verdicts at once cost one preparation.
void Selector::prepare() noexcept {
    for (const auto& policy : policies_) policy->prepare(available_, weights_);
    stale_ = false;
}

}  // namespace penstock::balancer
