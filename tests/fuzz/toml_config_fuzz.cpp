// Any text loads or is refused with diagnostics; what loads prints to text that loads to the same.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "config/load.hpp"
#include "config/print.hpp"

namespace {

std::optional<std::string> variable(std::string_view name) {
    if (name == "HOME") return "/root";
    if (name == "PORT") return "8080";
    return std::nullopt;
}

void require(bool condition, const char* what) {
    if (condition) return;
    std::fputs(what, stderr);
    std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    namespace config = penstock::config;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    // Included files would make the result depend on the machine.
    if (text.find("include") != std::string_view::npos) return 0;
    const auto first = config::load_text(text, "fuzz.toml", "/fuzz", variable);
    const auto messages = config::format(first.diagnostics);
    require(first.diagnostics.empty() == messages.empty(), "diagnostics without text\n");
    if (!first.ok()) return 0;
    const auto printed = config::print(first.config);
    const auto second = config::load_text(printed, "print.toml", "/", variable);
    require(second.ok(), "what was printed does not load\n");
    require(second.config == first.config, "what was printed loads to something else\n");
    return 0;
}
