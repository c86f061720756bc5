#include "config/peers.hpp"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

namespace penstock::config {

namespace {

bool is_one_of(std::string_view word, std::initializer_list<std::string_view> words) {
    return std::ranges::find(words, word) != words.end();
}

/// Advice for what is often written in place of a network.
std::optional<std::string> explain(std::string_view text) {
    if (text.empty()) return "is empty";
    if (is_one_of(text, {"*", "any", "ALL", "All", "everybody", "everyone", "0/0"}))
        return "is no network; for every peer write \"all\"";
    if (is_one_of(text, {"unix:", "unix:*", "UNIX", "Unix", "local"}) || text.starts_with("unix:"))
        return "is no network; for every unix peer write \"unix\", they have no other name";
    if (text.starts_with('!')) return "cannot be negated; use allow and deny";
    if (text.starts_with('['))
        return "has brackets; write the network alone, without brackets and port";
    const auto last_colon = text.rfind(':');
    if (last_colon != std::string_view::npos && text.find(':') == last_colon &&
        Prefix::parse(text.substr(0, last_colon)))
        return fmt::format("has a port; peers are networks: \"{}\"", text.substr(0, last_colon));
    const auto dash = text.find('-');
    if (dash != std::string_view::npos && Prefix::parse(text.substr(0, dash)))
        return "is a range; write it as networks: \"10.0.0.0/24\"";
    return std::nullopt;
}

}  // namespace

std::expected<void, std::string> add_peer(PeerList& peers, std::string_view text) {
    if (text == "all") {
        peers.all = true;
    } else if (text == "unix") {
        peers.unix_peers = true;
    } else if (const auto prefix = Prefix::parse(text)) {
        peers.prefixes.push_back(*prefix);
    } else {
        if (auto advice = explain(text)) return std::unexpected(*std::move(advice));
        return std::unexpected("is no peer: " + prefix.error());
    }
    return {};
}

std::vector<std::string> format_peers(const PeerList& peers) {
    std::vector<std::string> all;
    all.reserve(peers.prefixes.size() + 2);
    for (const auto& prefix : peers.prefixes) all.push_back(prefix.to_string());
    if (peers.unix_peers) all.emplace_back("unix");
    if (peers.all) all.emplace_back("all");
    return all;
}

}  // namespace penstock::config
