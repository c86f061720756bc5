#include "app/ledger/json_fields.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <limits>
#include <new>

#include "base/secret.hpp"

namespace penstock::app {

using std::chrono::milliseconds;

namespace {

// All of it is aligned as by malloc, more than which no value asks for: Boost.JSON gives the keys
// of an object back with another alignment than it asked for.
class WipedMemory final : public json::memory_resource {
    void* do_allocate(std::size_t size, std::size_t alignment) override {
        if (alignment > alignof(std::max_align_t)) throw std::bad_alloc();
        return ::operator new(size);
    }
    void do_deallocate(void* memory, std::size_t size, std::size_t) override {
        penstock::wipe(memory, size);
        ::operator delete(memory, size);
    }
    [[nodiscard]] bool do_is_equal(const json::memory_resource& other) const noexcept override {
        return this == &other;
    }
};

}  // namespace

json::storage_ptr wiped_memory() noexcept {
    static WipedMemory memory;
    return {&memory};
}

bool FieldWriter::is_nothing(const json::value& value) noexcept {
    switch (value.kind()) {
        case json::kind::null: return true;
        case json::kind::bool_: return !value.get_bool();
        case json::kind::int64: return value.get_int64() == 0;
        case json::kind::uint64: return value.get_uint64() == 0;
        case json::kind::string: return value.get_string().empty();
        case json::kind::array: return value.get_array().empty();
        case json::kind::object: return value.get_object().empty();
        default: return false;
    }
}

json::value FieldWriter::json_of(Duration value) {
    return std::max<Duration::rep>(value.count(), 0);
}

json::value FieldWriter::json_of(WallTime value) { return value.time_since_epoch().count(); }

void FieldWriter::histogram(std::string_view name, const metrics::HistogramTotals& totals,
                            std::span<const std::uint64_t> bounds_us) {
    if (totals.count() == 0 && totals.sum_us == 0) return;
    object_[name] =
        json::object{{"bounds_us", json::array(bounds_us.begin(), bounds_us.end())},
                     {"counts", json::array(totals.counts.begin(), totals.counts.end())},
                     {"sum_us", totals.sum_us}};
}

bool FieldReader::read(const json::value& from, bool& value) noexcept {
    const bool* found = from.if_bool();
    if (found != nullptr) value = *found;
    return found != nullptr;
}

bool FieldReader::read(const json::value& from, std::uint64_t& value) noexcept {
    if (const std::uint64_t* found = from.if_uint64()) {
        value = *found;
        return true;
    }
    const std::int64_t* found = from.if_int64();
    if (found == nullptr || *found < 0) return false;
    value = static_cast<std::uint64_t>(*found);
    return true;
}

bool FieldReader::read(const json::value& from, std::string& value) {
    const json::string* found = from.if_string();
    if (found != nullptr) value.assign(found->data(), found->size());
    return found != nullptr;
}

bool FieldReader::read(const json::value& from, Duration& value) noexcept {
    std::int64_t ns = 0;
    if (!read(from, ns)) return false;
    value = Duration(ns);
    return true;
}

bool FieldReader::read(const json::value& from, WallTime& value) noexcept {
    std::int64_t ms = 0;
    if (!read(from, ms)) return false;
    // Beyond this, the arithmetic of others overflows: clocks count nanoseconds.
    constexpr std::int64_t last = std::numeric_limits<std::int64_t>::max() / 1'000'000;
    value = WallTime(milliseconds(std::min(ms, last)));
    return true;
}

bool FieldReader::read(const json::value& from, std::set<std::string>& names) {
    std::vector<std::string> list;
    if (!read(from, list)) return false;
    names.insert(list.begin(), list.end());
    return true;
}

void FieldReader::histogram(std::string_view name, metrics::HistogramTotals& totals,
                            std::span<const std::uint64_t> bounds_us) const {
    const json::value* found = object_.if_contains(name);
    const json::object* object = found == nullptr ? nullptr : found->if_object();
    if (object == nullptr) return;
    const FieldReader reader(*object);
    std::vector<std::uint64_t> foreign_bounds;
    metrics::HistogramTotals foreign;
    reader("bounds_us", foreign_bounds);
    reader("counts", foreign.counts);
    reader("sum_us", foreign.sum_us);
    foreign.bounds_us = foreign_bounds;
    // Sums live on when what they were read from is gone: their bounds are this program's own.
    totals.bounds_us = bounds_us;
    totals.counts.assign(bounds_us.size() + 1, 0);
    totals += foreign;
}

}  // namespace penstock::app
