#pragma once

#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>

namespace penstock::proxy {

/// Where a line of the access log is built: append-only bytes, whose memory stays from line to
/// line.
class LineBuffer {
public:
    LineBuffer() : bytes_(std::make_unique_for_overwrite<char[]>(capacity_)) {}

    void clear() noexcept { size_ = 0; }
    [[nodiscard]] const char* data() const noexcept { return bytes_.get(); }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] std::string_view view() const noexcept { return {bytes_.get(), size_}; }

    /// At least `n` writable bytes behind the end; commit() what was written.
    [[nodiscard]] char* room(std::size_t n) {
        if (capacity_ - size_ < n) [[unlikely]]
            grow(n);
        return bytes_.get() + size_;
    }
    void commit(std::size_t n) noexcept { size_ += n; }

    void append(std::string_view text) {
        std::memcpy(room(text.size()), text.data(), text.size());
        size_ += text.size();
    }
    void append(char c) {
        *room(1) = c;
        ++size_;
    }
    template <std::integral Integer>
    void append_number(Integer value) {
        char* begin = room(24);
        size_ += static_cast<std::size_t>(std::to_chars(begin, begin + 24, value).ptr - begin);
    }

private:
    void grow(std::size_t n) {
        capacity_ = (size_ + n) * 2;
        auto larger = std::make_unique_for_overwrite<char[]>(capacity_);
        std::memcpy(larger.get(), bytes_.get(), size_);
        bytes_ = std::move(larger);
    }

    std::size_t capacity_ = 4096;
    std::size_t size_ = 0;
    std::unique_ptr<char[]> bytes_;
};

}  // namespace penstock::proxy
