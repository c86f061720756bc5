#include "balancer/circuit.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace penstock::balancer {

namespace {

// unused 1 | generation 31 | failed 10 | succeeded 10 | permits left 10 | state 2
constexpr unsigned left_shift = 2;
constexpr unsigned succeeded_shift = 12;
constexpr unsigned failed_shift = 22;
constexpr unsigned generation_shift = 32;
constexpr std::uint64_t field = 0x3ff;
constexpr std::uint32_t last_generation = 0x7fff'ffff;

constexpr CircuitState state_of(std::uint64_t word) noexcept {
    return static_cast<CircuitState>(word & 3);
}
constexpr std::uint32_t part_of(std::uint64_t word, unsigned shift) noexcept {
    return static_cast<std::uint32_t>((word >> shift) & field);
}
constexpr std::uint32_t generation_of(std::uint64_t word) noexcept {
    return static_cast<std::uint32_t>(word >> generation_shift) & last_generation;
}
constexpr std::uint64_t one(unsigned shift) noexcept { return std::uint64_t{1} << shift; }

constexpr CircuitPass pass_of(std::uint32_t generation, bool trial) noexcept {
    CircuitPass pass;
    pass.generation = generation & last_generation;
    pass.trial = trial;
    return pass;
}

constexpr bool is_trial_of(std::uint64_t word, CircuitPass pass) noexcept {
    return pass.trial && generation_of(word) == pass.generation &&
           state_of(word) == CircuitState::half_open;
}

}  // namespace

std::optional<CircuitPass> Circuit::try_pass() noexcept {
    std::uint64_t word = word_.load(std::memory_order_acquire);
    for (;;) {
        if (state_of(word) == CircuitState::closed) return pass_of(generation_of(word), false);
        if (state_of(word) == CircuitState::open || part_of(word, left_shift) == 0)
            return std::nullopt;
        if (word_.compare_exchange_weak(word, word - one(left_shift)))
            return pass_of(generation_of(word), true);
    }
}

CircuitPass Circuit::pass_anyway() noexcept {
    if (const auto pass = try_pass()) return *pass;
    // Of the generation before: never current.
    return pass_of((generation_of(word_.load(std::memory_order_acquire)) - 1) & last_generation,
                   false);
}

CircuitPass Circuit::observe() const noexcept {
    return pass_of(generation_of(word_.load(std::memory_order_acquire)), false);
}

bool Circuit::passable() const noexcept {
    const std::uint64_t word = word_.load(std::memory_order_acquire);
    return state_of(word) == CircuitState::closed ||
           (state_of(word) == CircuitState::half_open && part_of(word, left_shift) != 0);
}

void Circuit::give_back(CircuitPass pass) noexcept {
    std::uint64_t word = word_.load(std::memory_order_acquire);
    while (is_trial_of(word, pass))
        if (word_.compare_exchange_weak(word, word + one(left_shift))) return;
}

bool Circuit::finish_trial(CircuitPass pass, bool success) noexcept {
    const unsigned shift = success ? succeeded_shift : failed_shift;
    std::uint64_t word = word_.load(std::memory_order_acquire);
    while (is_trial_of(word, pass))
        if (word_.compare_exchange_weak(word, word + one(shift))) return true;
    return false;
}

bool Circuit::is_current(CircuitPass pass) const noexcept {
    return generation_of(word_.load(std::memory_order_acquire)) == pass.generation;
}

CircuitState Circuit::state() const noexcept {
    return state_of(word_.load(std::memory_order_acquire));
}

Circuit::Trials Circuit::trials() const noexcept {
    const std::uint64_t word = word_.load(std::memory_order_acquire);
    return {part_of(word, left_shift), part_of(word, succeeded_shift), part_of(word, failed_shift)};
}

void Circuit::close() noexcept { switch_to(CircuitState::closed, 0); }

void Circuit::open() noexcept { switch_to(CircuitState::open, 0); }

void Circuit::half_open(std::uint32_t trials) noexcept {
    assert(trials >= 1 && trials <= max_trials);
    switch_to(CircuitState::half_open, std::min(trials, max_trials));
}

void Circuit::switch_to(CircuitState state, std::uint32_t trials) noexcept {
    std::uint64_t word = word_.load(std::memory_order_acquire);
    std::uint64_t next = 0;
    do {
        next = ((std::uint64_t{generation_of(word)} + 1) & last_generation) << generation_shift |
               std::uint64_t{trials} << left_shift | std::to_underlying(state);
    } while (!word_.compare_exchange_weak(word, next));
}

}  // namespace penstock::balancer
