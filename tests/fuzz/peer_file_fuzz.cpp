// Any text is read without a crash; every error has its place inside its line; the peers that were
// read print to a file that reads to the same.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "config/peer_file.hpp"
#include "config/peers.hpp"
#include "config/source.hpp"
#include "config/text.hpp"

namespace {

void require(bool condition, const char* what) {
    if (condition) return;
    std::fputs(what, stderr);
    std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    namespace config = penstock::config;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto file = config::parse_peer_file(text);
    const config::Source source("peers", "/", std::string(text));
    for (const auto& error : file.errors) {
        const auto length = config::count_characters(source.line(error.line));
        require(error.column >= 1 && error.length >= 1, "an error without a place\n");
        require(error.column + error.length - 1 <= length, "an error outside of its line\n");
    }
    std::string printed;
    for (const auto& peer : config::format_peers(file.peers)) printed += peer + '\n';
    const auto again = config::parse_peer_file(printed);
    require(again.errors.empty(), "what was printed is not read\n");
    require(again.peers == file.peers, "what was printed is read as something else\n");
    return 0;
}
