#include "balancer/smooth_rotation.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

namespace penstock::balancer {

namespace {

// Candidates looked at by start_anywhere(): about a quarter of a millisecond.
constexpr std::int64_t start_effort = 1 << 18;

}  // namespace

SmoothRotation::SmoothRotation(const BackendSet::Range& range,
                               std::span<const std::uint32_t> weights)
    : begin_(range.begin), turns_(range.end - range.begin) {
    reweigh(weights);
}

void SmoothRotation::reweigh(std::span<const std::uint32_t> weights) noexcept {
    for (std::size_t i = 0; i < turns_.size(); ++i) turns_[i].weight = weights[begin_ + i];
}

void SmoothRotation::start_anywhere(Random& random) noexcept {
    std::int64_t total = 0;
    std::int64_t divisor = 0;
    for (const Turn& turn : turns_) {
        total += turn.weight;
        divisor = std::gcd(divisor, turn.weight);
    }
    if (divisor == 0) return;
    const auto size = static_cast<std::int64_t>(turns_.size());
    const auto turns = std::min(total / divisor, start_effort / size + 1);
    for (auto left = random.below(static_cast<std::uint32_t>(turns)); left != 0; --left) next();
}

// Everybody in [first, last) earns its weight. The hot loop of round robin.
void SmoothRotation::pass(Turn* first, Turn* last, Round& round) noexcept {
    auto [leader, total] = round;
    std::int64_t most =
        leader != nullptr ? leader->credit : std::numeric_limits<std::int64_t>::min();
    for (Turn* turn = first; turn != last; ++turn) {
        turn->credit += turn->weight;
        total += turn->weight;
        if (turn->credit > most) {
            most = turn->credit;
            leader = turn;
        }
    }
    round = {leader, total};
}

std::uint32_t SmoothRotation::take(const Round& round) noexcept {
    round.leader->credit -= round.total;
    return begin_ + static_cast<std::uint32_t>(round.leader - turns_.data());
}

std::uint32_t SmoothRotation::next(const Bitmap& allowed, std::uint32_t begin,
                                   std::uint32_t end) noexcept {
    Round round;
    Turn* const origin = turns_.data();
    allowed.for_each_stretch(begin, end, [&](std::size_t first, std::size_t last) {
        pass(origin + (first - begin_), origin + (last - begin_), round);
    });
    return take(round);
}

std::uint32_t SmoothRotation::next(std::span<const std::uint32_t> indices) noexcept {
    Round round;
    for (const std::uint32_t i : indices) {
        Turn* const turn = &turns_[i - begin_];
        pass(turn, turn + 1, round);
    }
    return take(round);
}

std::uint32_t SmoothRotation::next() noexcept {
    Round round;
    pass(turns_.data(), turns_.data() + turns_.size(), round);
    return take(round);
}

}  // namespace penstock::balancer
