#include <fmt/format.h>
#define XXH_INLINE_ALL  // as headers: no shared library for one function
#include <xxhash.h>

#include "config/diff.hpp"
#include "config/print.hpp"

namespace penstock::config {

std::string digest(const Config& from, const Config& to) {
    auto text = print(from);
    text += '\0';  // cannot stand in either
    text += print(to);
    return fmt::format("{:06x}", ::XXH3_64bits(text.data(), text.size()) >> 40U);
}

}  // namespace penstock::config
