#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <utility>

namespace penstock::balancer {

/// A set of backend indices below size(), fixed when it is made. Up to 128 of them live inside the
/// object; only making or copying a larger one allocates. Not synchronized.
class Bitmap {
    using Word = std::uint64_t;
    static constexpr std::size_t word_bits = 64;
    static constexpr std::size_t inline_words = 2;

public:
    Bitmap() noexcept = default;
    /// All bits clear.
    explicit Bitmap(std::size_t size)
        : size_(size),
          heap_(words() > inline_words ? std::make_unique<Word[]>(words()) : nullptr) {}

    Bitmap(const Bitmap& other) : Bitmap(other.size_) {
        std::copy_n(other.data(), words(), data());
    }
    /// Leaves `other` with size 0.
    Bitmap(Bitmap&& other) noexcept
        : size_(std::exchange(other.size_, 0)),
          inline_(std::exchange(other.inline_, {})),
          heap_(std::move(other.heap_)) {}
    Bitmap& operator=(Bitmap other) noexcept {
        std::swap(size_, other.size_);
        std::swap(inline_, other.inline_);
        std::swap(heap_, other.heap_);
        return *this;
    }
    ~Bitmap() = default;

    [[nodiscard]] std::size_t size() const noexcept { return size_; }

    void set(std::size_t i) noexcept {
        assert(i < size_);
        data()[i / word_bits] |= mask_of(i);
    }
    void reset(std::size_t i) noexcept {
        assert(i < size_);
        data()[i / word_bits] &= ~mask_of(i);
    }
    [[nodiscard]] bool test(std::size_t i) const noexcept {
        assert(i < size_);
        return (data()[i / word_bits] & mask_of(i)) != 0;
    }

    [[nodiscard]] std::size_t count() const noexcept {
        std::size_t n = 0;
        for (std::size_t w = 0; w < words(); ++w)
            n += static_cast<std::size_t>(std::popcount(data()[w]));
        return n;
    }
    [[nodiscard]] bool any() const noexcept { return any_in(0, size_); }
    /// True if a bit of [begin, end) is set; end <= size().
    [[nodiscard]] bool any_in(std::size_t begin, std::size_t end) const noexcept {
        return find_next(begin, end) != end;
    }
    /// The first set bit of [from, end), or `end` if there is none; end <= size(), from <= end.
    [[nodiscard]] std::size_t find_next(std::size_t from, std::size_t end) const noexcept {
        assert(from <= end && end <= size_);
        if (from == end) return end;
        std::size_t w = from / word_bits;
        const std::size_t last = (end - 1) / word_bits;
        Word word = data()[w] & (~Word{0} << (from % word_bits));
        while (word == 0) {
            if (w == last) return end;
            word = data()[++w];
        }
        return std::min(end, w * word_bits + static_cast<std::size_t>(std::countr_zero(word)));
    }

    /// Calls visit(first, last) for stretches [first, last) of set bits, in rising order, that
    /// together are those of [begin, end): for loops in which a step per bit would count. A stretch
    /// ends at a multiple of 64 at the latest. The bitmap must stay as it is meanwhile.
    template <typename Visit>
    void for_each_stretch(std::size_t begin, std::size_t end, Visit visit) const {
        assert(begin <= end && end <= size_);
        for (std::size_t base = begin / word_bits * word_bits; base < end; base += word_bits) {
            Word word = data()[base / word_bits];
            if (base < begin) word &= ~Word{0} << (begin - base);
            if (end - base < word_bits) word &= (Word{1} << (end - base)) - 1;
            while (word != 0) {
                const auto first = static_cast<std::size_t>(std::countr_zero(word));
                const auto last = first + static_cast<std::size_t>(std::countr_one(word >> first));
                visit(base + first, base + last);
                if (last == word_bits) break;
                word &= ~Word{0} << last;
            }
        }
    }

    /// *this = from and not without, where from.size() == size(). What `without` is too short for
    /// stays: an empty one takes nothing away. Never allocates.
    void assign_and_not(const Bitmap& from, const Bitmap& without) noexcept {
        assert(from.size_ == size_);
        for (std::size_t w = 0; w < words(); ++w)
            data()[w] = from.data()[w] & ~without.word_or_zero(w);
    }
    /// True if a bit is set here that is not set in `without`, which may be shorter.
    [[nodiscard]] bool any_and_not(const Bitmap& without) const noexcept {
        for (std::size_t w = 0; w < words(); ++w)
            if ((data()[w] & ~without.word_or_zero(w)) != 0) return true;
        return false;
    }

    /// The set bits of [begin, end) in rising order, to loop over. The bitmap must stay as it is
    /// meanwhile.
    class Ones {
    public:
        class Iterator {
        public:
            using difference_type = std::ptrdiff_t;
            using value_type = std::uint32_t;

            Iterator(const Word* data, std::size_t begin, std::size_t end) noexcept
                : data_(data), base_(begin / word_bits * word_bits), end_(end) {
                if (begin < end) word_ = *word_at_base() & (~Word{0} << (begin % word_bits));
                settle();
            }
            value_type operator*() const noexcept { return static_cast<value_type>(at_); }
            Iterator& operator++() noexcept {
                word_ &= word_ - 1;
                settle();
                return *this;
            }
            void operator++(int) noexcept { ++*this; }
            bool operator==(std::default_sentinel_t) const noexcept { return at_ >= end_; }

        private:
            [[nodiscard]] const Word* word_at_base() const noexcept {
                return data_ + base_ / word_bits;
            }
            // Moves to the lowest bit left in word_, or to that of a later word.
            void settle() noexcept {
                while (word_ == 0) {
                    base_ += word_bits;
                    at_ = base_;
                    if (base_ >= end_) return;
                    word_ = *word_at_base();
                }
                at_ = base_ + static_cast<std::size_t>(std::countr_zero(word_));
            }

            const Word* data_;
            std::size_t base_;
            std::size_t end_;
            std::size_t at_ = 0;
            Word word_ = 0;
        };

        Ones(const Bitmap& bitmap, std::size_t begin, std::size_t end) noexcept
            : begin_(bitmap.data(), begin, end) {}
        [[nodiscard]] Iterator begin() const noexcept { return begin_; }
        [[nodiscard]] static std::default_sentinel_t end() noexcept { return {}; }

    private:
        Iterator begin_;
    };
    [[nodiscard]] Ones ones(std::size_t begin, std::size_t end) const noexcept {
        assert(begin <= end && end <= size_);
        return {*this, begin, end};
    }

private:
    static constexpr Word mask_of(std::size_t i) noexcept { return Word{1} << (i % word_bits); }
    [[nodiscard]] std::size_t words() const noexcept { return (size_ + word_bits - 1) / word_bits; }
    [[nodiscard]] Word* data() noexcept { return heap_ ? heap_.get() : inline_.data(); }
    [[nodiscard]] const Word* data() const noexcept { return heap_ ? heap_.get() : inline_.data(); }
    [[nodiscard]] Word word_or_zero(std::size_t w) const noexcept {
        return w < words() ? data()[w] : 0;
    }

    std::size_t size_ = 0;
    std::array<Word, inline_words> inline_{};
    std::unique_ptr<Word[]> heap_;
};

}  // namespace penstock::balancer
