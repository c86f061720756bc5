#include "config/peer_file.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "config/diagnostic.hpp"
#include "config/peers.hpp"
#include "config/source.hpp"
#include "config/text.hpp"

namespace penstock::config {

namespace {

constexpr std::string_view blanks = " \t";
constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
constexpr std::size_t most_reported = 20;

/// The peer of a line, without the comment and the blanks around it.
std::string_view content_of(std::string_view line) {
    line = line.substr(0, line.find('#'));
    if (line.ends_with('\r')) line.remove_suffix(1);
    const auto first = line.find_first_not_of(blanks);
    if (first == std::string_view::npos) return {};
    return line.substr(first, line.find_last_not_of(blanks) - first + 1);
}

std::string explain(std::string_view content, std::string problem) {
    if (content.find_first_of(" \t,;") != std::string_view::npos)
        problem = "is more than one peer; a line has one";
    return fmt::format("{} {}", quote(content), problem);
}

}  // namespace

PeerFile parse_peer_file(std::string_view text) {
    PeerFile file;
    if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
    for (std::uint32_t number = 1; !text.empty(); ++number) {
        const auto end = std::min(text.find('\n'), text.size());
        const auto line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        const auto content = content_of(line);
        if (content.empty()) continue;
        const auto added = add_peer(file.peers, content);
        if (added) continue;
        const auto before = line.substr(0, static_cast<std::size_t>(content.data() - line.data()));
        file.errors.push_back({number, static_cast<std::uint32_t>(count_characters(before) + 1),
                               static_cast<std::uint32_t>(count_characters(content)),
                               explain(content, added.error())});
    }
    return file;
}

std::expected<PeerList, std::string> read_peer_file(const std::string& path, Reporter& reporter) {
    auto text = read_source(path);
    if (!text) return std::unexpected(std::move(text.error()));
    auto file = parse_peer_file(*text);
    if (file.errors.empty()) return std::move(file.peers);
    const auto source = reporter.add_source({path, {}, *std::move(text)});
    const auto shown = std::min(file.errors.size(), most_reported);
    for (std::size_t i = 0; i < shown; ++i) {
        auto& error = file.errors[i];
        reporter.error({source, error.line, error.column, error.length}, std::move(error.message));
    }
    if (file.errors.size() > shown)
        reporter.error({source, 0, 0, 0}, fmt::format("{} more lines are wrong; is this a list of "
                                                      "networks?",
                                                      file.errors.size() - shown));
    return PeerList{};
}

std::expected<PeerList, std::vector<Diagnostic>> read_peer_file(const std::string& path) {
    Reporter reporter;
    auto peers = read_peer_file(path, reporter);
    if (!peers) {
        reporter.add_source({path, {}, {}});
        reporter.error({}, std::move(peers.error()));
    }
    if (reporter.errors() > 0) return std::unexpected(reporter.take());
    return *std::move(peers);
}

}  // namespace penstock::config
