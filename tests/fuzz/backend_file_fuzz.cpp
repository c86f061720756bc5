// Any text is read without a crash, as lines or as JSON; what is read obeys the bounds, and every
// error says something.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "config/backend_file.hpp"

namespace {

void require(bool condition, const char* what) {
    if (condition) return;
    std::fputs(what, stderr);
    std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    constexpr std::size_t most = 64;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto read = penstock::config::parse_backend_file(text, most);
    if (!read) {
        require(!read.error().empty(), "an error without a word\n");
        for (const auto& error : read.error())
            require(!error.message.empty(), "an error without a message\n");
        return 0;
    }
    require(read->size() <= most, "more backends than allowed\n");
    for (const auto& backend : *read) {
        require(backend.host.empty() != (backend.address == penstock::Endpoint{}),
                "neither an address nor a host, or both\n");
        require(!backend.weight || *backend.weight <= 65535, "a weight out of range\n");
    }
    return 0;
}
