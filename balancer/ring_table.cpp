#include "balancer/ring_table.hpp"

#include <algorithm>
#include <bit>
#include <numeric>
#include <string_view>

#include <boost/crc.hpp>

#include "balancer/hash.hpp"

namespace penstock::balancer {

namespace {

struct Point {
    std::uint32_t hash;
    std::uint32_t rank;  // of the owner, by name
    auto operator<=>(const Point&) const = default;
};

// How many points each of `weights`, none of which is 0, gets.
std::vector<std::uint64_t> count_points(std::vector<std::uint64_t> weights) {
    std::uint64_t total = 0;
    std::uint64_t divisor = 0;
    for (const auto weight : weights) {
        total += weight;
        divisor = std::gcd(divisor, weight);
    }
    if (total * RingTable::points_per_weight <= RingTable::max_points) divisor = 1;
    const bool fits = total / divisor * RingTable::points_per_weight <= RingTable::max_points;
    for (auto& weight : weights)
        weight = fits ? weight / divisor * RingTable::points_per_weight
                      : std::max<std::uint64_t>(1, weight * RingTable::max_points / total);
    return weights;
}

struct Address {
    std::string_view host;
    std::string_view port;
};

// As nginx does it: what follows the last colon is a port when it has nothing but digits.
Address split(std::string_view name) noexcept {
    constexpr std::string_view unix_prefix = "unix:";
    if (name.starts_with(unix_prefix)) return {name.substr(unix_prefix.size()), {}};
    const auto colon = name.find_last_not_of("0123456789");
    if (colon == std::string_view::npos || name[colon] != ':') return {name, {}};
    return {name.substr(0, colon), name.substr(colon + 1)};
}

void add_points(std::string_view name, std::uint32_t rank, std::uint64_t count,
                std::vector<Point>& points) {
    const Address address = split(name);
    boost::crc_32_type base;
    base.process_bytes(address.host.data(), address.host.size());
    base.process_byte(0);
    base.process_bytes(address.port.data(), address.port.size());
    std::uint32_t hash = 0;
    for (; count != 0; --count) {
        boost::crc_32_type crc = base;
        for (unsigned shift = 0; shift < 32; shift += 8)
            crc.process_byte(static_cast<unsigned char>(hash >> shift));
        hash = crc.checksum();
        points.push_back({hash, rank});
    }
}

}  // namespace

RingTable::RingTable(std::span<const HashEntry> entries) {
    auto order = order_by_name(entries);
    std::erase_if(order, [&](std::uint32_t i) { return entries[i].weight == 0; });
    if (order.empty()) return;
    std::vector<std::uint64_t> counts;
    for (const std::uint32_t i : order) counts.push_back(entries[i].weight);
    counts = count_points(std::move(counts));
    std::vector<Point> points;
    points.reserve(std::reduce(counts.begin(), counts.end()));
    std::uint64_t names = 0;
    for (std::uint32_t rank = 0; rank < order.size(); ++rank) {
        const auto name = entries[order[rank]].name;
        add_points(name, rank, counts[rank], points);
        names = hash64(name, names);
    }
    std::ranges::sort(points);
    const auto doubles = std::ranges::unique(points, {}, &Point::hash);
    points.erase(doubles.begin(), doubles.end());
    hashes_.reserve(points.size());
    owners_.reserve(points.size());
    for (const Point& point : points) {
        hashes_.push_back(point.hash);
        owners_.push_back(point.rank);
    }
    checksum_ = hash64(owners_, hash64(hashes_, names));
    for (std::uint32_t& owner : owners_) owner = order[owner];
    index_points();
}

// About as many slices of the circle as points, so that each holds but a few.
void RingTable::index_points() {
    const auto bits = std::max(2U, static_cast<unsigned>(std::bit_width(hashes_.size()))) - 1;
    const std::size_t slices = std::size_t{1} << bits;
    shift_ = 32 - bits;
    starts_.reserve(slices + 1);
    for (std::uint32_t place = 0; place < hashes_.size(); ++place)
        while (starts_.size() <= hashes_[place] >> shift_) starts_.push_back(place);
    starts_.resize(slices + 1, static_cast<std::uint32_t>(hashes_.size()));
}

std::size_t RingTable::find(std::uint32_t hash) const noexcept {
    const std::size_t slice = hash >> shift_;
    const auto found = std::lower_bound(hashes_.begin() + starts_[slice],
                                        hashes_.begin() + starts_[slice + 1], hash);
    return found == hashes_.end() ? 0 : static_cast<std::size_t>(found - hashes_.begin());
}

}  // namespace penstock::balancer
