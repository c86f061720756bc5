#pragma once

#include <cstddef>

namespace penstock::test {

/// While it lives, no other thread of the process gets a block of more than `most` bytes: there,
/// operator new throws. One at a time; whoever links this has another operator new.
class Shortage {
public:
    explicit Shortage(std::size_t most) noexcept;
    ~Shortage();
    Shortage(const Shortage&) = delete;
    Shortage& operator=(const Shortage&) = delete;

    /// How many blocks were not to be had.
    [[nodiscard]] static std::size_t refused() noexcept;
};

}  // namespace penstock::test
