#include "app/token_file.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "config/secret_file.hpp"

namespace penstock::app {

namespace {

constexpr std::string_view how_to_make_one =
    "make one with: openssl rand -hex 32 (the file has that line alone)";

std::expected<std::string, std::string> refuse(std::string_view problem) {
    return std::unexpected(fmt::format("{}; {}", problem, how_to_make_one));
}

std::string_view without_line_end(std::string_view text) {
    if (text.ends_with('\n')) text.remove_suffix(1);
    if (text.ends_with('\r')) text.remove_suffix(1);
    return text;
}

std::expected<std::string, std::string> parse(
    const std::expected<config::Secret, std::string>& file) {
    if (!file) return std::unexpected(file.error());
    return parse_token(file->text);
}

}  // namespace

std::expected<std::string, std::string> parse_token(std::string_view text) {
    const auto token = without_line_end(text);
    if (token.empty()) return refuse("has no token in it");
    if (token.find_first_of("\r\n") != std::string_view::npos)
        return refuse("has more than one line");
    if (token.find_first_of(" \t") != std::string_view::npos)
        return refuse("has a blank in the token");
    if (!std::ranges::all_of(token, [](char c) { return c > ' ' && c <= '~'; }))
        return refuse("has a character in the token that is not printable ASCII");
    if (token.size() < shortest_token)
        return refuse(fmt::format("has a token of {} characters, which can be guessed; it needs {}",
                                  token.size(), shortest_token));
    if (token.size() > longest_token)
        return refuse(fmt::format("has a token of more than {} characters", longest_token));
    return std::string(token);
}

std::expected<std::string, std::string> read_token(const std::string& path) {
    auto token = parse(config::read_secret(path));
    if (!token) return std::unexpected(fmt::format("token file {}: {}", path, token.error()));
    return token;
}

std::vector<config::Diagnostic> check_token_files(const config::Config& config) {
    std::vector<config::Diagnostic> found;
    std::set<std::string_view> seen;
    for (const auto& listener : config.admin.listeners) {
        const auto& path = listener.token_file;
        if (path.empty() || !seen.insert(path).second) continue;
        const auto file = config::read_secret(path);
        const auto token = parse(file);
        if (token && !file->exposed) continue;
        config::Diagnostic finding;
        finding.file = path;
        finding.message = fmt::format("'token_file' in [[admin.listener]]: {}",
                                      token ? config::exposed_secret : token.error());
        if (token && !config.process.strict_permissions)
            finding.severity = config::Severity::warning;
        found.push_back(std::move(finding));
    }
    return found;
}

}  // namespace penstock::app
