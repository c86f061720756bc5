#include "net/dns/answer.hpp"

#include <algorithm>
#include <cstddef>

namespace penstock::net {

namespace {

constexpr std::size_t header_size = 12;
constexpr std::size_t most_labels = 128;

/// Reads forward only, so that no message can make it go round in a circle.
class Reader {
public:
    explicit Reader(std::span<const std::uint8_t> message) : message_(message) {}

    [[nodiscard]] bool failed() const noexcept { return failed_; }
    void skip(std::size_t n) noexcept {
        if (n > message_.size() - at_) failed_ = true;
        at_ = failed_ ? message_.size() : at_ + n;
    }
    std::uint32_t number(std::size_t bytes) noexcept {
        const std::size_t from = at_;
        skip(bytes);
        std::uint32_t value = 0;
        for (std::size_t i = 0; !failed_ && i < bytes; ++i) value = value << 8 | message_[from + i];
        return value;
    }
    // A pointer ends a name; where it leads is of no interest here.
    void skip_name() noexcept {
        for (std::size_t labels = 0; labels < most_labels && !failed_; ++labels) {
            const std::uint32_t length = number(1);
            if (length == 0) return;
            if ((length & 0xc0) == 0xc0) return skip(1);
            if ((length & 0xc0) != 0) break;
            skip(length);
        }
        failed_ = true;
    }

private:
    std::span<const std::uint8_t> message_;
    std::size_t at_ = 0;
    bool failed_ = false;
};

}  // namespace

std::optional<Duration> smallest_ttl(std::span<const std::uint8_t> message,
                                     std::uint16_t type) noexcept {
    if (message.size() < header_size) return std::nullopt;
    Reader reader(message);
    reader.skip(4);
    const std::uint32_t questions = reader.number(2);
    const std::uint32_t answers = reader.number(2);
    reader.skip(4);
    for (std::uint32_t i = 0; i < questions && !reader.failed(); ++i) {
        reader.skip_name();
        reader.skip(4);
    }
    std::optional<Duration> smallest;
    for (std::uint32_t i = 0; i < answers && !reader.failed(); ++i) {
        reader.skip_name();
        const std::uint32_t of_type = reader.number(2);
        reader.skip(2);
        const auto ttl = ttl_of(static_cast<std::int32_t>(reader.number(4)));
        reader.skip(reader.number(2));
        if (reader.failed()) return std::nullopt;
        if (of_type == type) smallest = std::min(smallest.value_or(ttl), ttl);
    }
    return reader.failed() ? std::nullopt : smallest;
}

}  // namespace penstock::net
