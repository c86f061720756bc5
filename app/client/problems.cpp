#include "app/client/problems.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "app/client/text.hpp"
#include "config/source.hpp"
#include "config/text.hpp"

namespace penstock::app::client {

namespace {

/// The files that were asked for, each read once.
class Sources {
public:
    explicit Sources(const ReadText& read) : read_(read) {}

    /// Nothing if there is no such line, or it is too short: the file has changed meanwhile.
    [[nodiscard]] std::optional<std::string_view> line(const std::string& file,
                                                       std::uint32_t number, std::uint32_t column) {
        auto found = sources_.find(file);
        if (found == sources_.end()) {
            auto text = read_(file);
            found = sources_
                        .emplace(file, text ? std::optional<config::Source>(std::in_place, file, "",
                                                                            *std::move(text))
                                            : std::nullopt)
                        .first;
        }
        if (!found->second) return std::nullopt;
        const auto line = found->second->line(number);
        if (line.empty() || column > config::count_characters(line) + 1) return std::nullopt;
        return line;
    }

private:
    const ReadText& read_;
    std::map<std::string, std::optional<config::Source>> sources_;
};

std::uint32_t small_number(const json::value& object, std::string_view name) {
    constexpr double most = std::numeric_limits<std::uint32_t>::max();
    const double value = number_or(object, name, 0);
    return value >= 0 && value <= most ? static_cast<std::uint32_t>(value) : 0;
}

config::Diagnostic problem_of(const json::value& problem, config::Severity severity,
                              Sources& sources) {
    config::Diagnostic diagnostic;
    diagnostic.severity = severity;
    diagnostic.line = small_number(problem, "line");
    diagnostic.file = text_or(problem, "file", "?");
    diagnostic.message = text_or(problem, "message", "?");
    if (diagnostic.line > 0) {
        diagnostic.column = std::max(1U, small_number(problem, "column"));
        diagnostic.length = std::max(1U, small_number(problem, "length"));
        const auto* name = field(problem, "file").if_string();
        const auto file = name == nullptr ? std::string() : std::string(name->data(), name->size());
        if (const auto line = sources.line(file, diagnostic.line, diagnostic.column))
            config::quote_line(diagnostic, *line);
    }
    for (const auto& related : items(problem, "related"))
        diagnostic.related.push_back(problem_of(related, config::Severity::note, sources));
    return diagnostic;
}

}  // namespace

std::vector<config::Diagnostic> problems_of(const json::value& answer, const ReadText& read) {
    Sources sources(read);
    std::vector<config::Diagnostic> problems;
    for (const auto& error : items(answer, "errors"))
        problems.push_back(problem_of(error, config::Severity::error, sources));
    for (const auto& warning : items(answer, "warnings"))
        problems.push_back(problem_of(warning, config::Severity::warning, sources));
    return problems;
}

}  // namespace penstock::app::client
