// Any text is read without a crash; what was read is written to a text that reads to the same; it
// can be added up.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <variant>

#include "app/upgrade/messages.hpp"

namespace {

void require(bool condition, const char* what) {
    if (condition) return;
    std::fputs(what, stderr);
    std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    namespace upgrade = penstock::app::upgrade;
    const auto message =
        upgrade::decode(std::string_view(reinterpret_cast<const char*>(data), size));
    if (!message) {
        require(!message.error().empty(), "a refusal without a word\n");
        return 0;
    }
    const auto written = upgrade::encode(*message);
    const auto again = upgrade::decode(written);
    require(again.has_value(), "what was written is not read\n");
    require(upgrade::encode(*again) == written, "what was written is read as something else\n");
    if (const auto* figures = std::get_if<upgrade::Figures>(&*message)) {
        auto sum = figures->ledger;
        sum += figures->ledger;
        auto gauges = figures->gauges;
        gauges += figures->gauges;
    }
    if (const auto* manifest = std::get_if<upgrade::Manifest>(&*message))
        static_cast<void>(manifest->descriptors());
    return 0;
}
