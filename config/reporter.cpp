#include "config/reporter.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

#include <fmt/format.h>

namespace penstock::config {

std::uint32_t Reporter::add_source(Source source) {
    sources_.push_back(std::move(source));
    return static_cast<std::uint32_t>(sources_.size() - 1);
}

Diagnostic Reporter::describe(Severity severity, Region where, std::string message) const {
    const auto& source = sources_.at(where.file);
    Diagnostic diagnostic;
    diagnostic.severity = severity;
    diagnostic.file = source.name();
    diagnostic.line = where.line;
    diagnostic.message = std::move(message);
    if (where.line == 0) return diagnostic;
    diagnostic.column = std::max(1U, where.column);
    diagnostic.length = std::max(1U, where.length);
    quote_line(diagnostic, source.line(where.line));
    return diagnostic;
}

void Reporter::add(Severity severity, Region where, std::string message) {
    if (severity == Severity::error) ++errors_;
    if (findings_.size() >= most_kept) {
        ++dropped_;
        return;
    }
    findings_.push_back({where, findings_.size(), describe(severity, where, std::move(message))});
}

void Reporter::error(Region where, std::string message) {
    add(Severity::error, where, std::move(message));
}

void Reporter::warning(Region where, std::string message) {
    add(Severity::warning, where, std::move(message));
}

void Reporter::add(Severity severity, Region where, std::string message, Region other,
                   std::string note) {
    const auto before = findings_.size();
    add(severity, where, std::move(message));
    if (findings_.size() > before)
        findings_.back().diagnostic.related.push_back(
            describe(Severity::note, other, std::move(note)));
}

void Reporter::error(Region where, std::string message, Region other, std::string note) {
    add(Severity::error, where, std::move(message), other, std::move(note));
}

void Reporter::warning(Region where, std::string message, Region other, std::string note) {
    add(Severity::warning, where, std::move(message), other, std::move(note));
}

std::vector<Diagnostic> Reporter::take() {
    std::ranges::sort(findings_, {}, [](const Finding& finding) {
        return std::tuple(finding.where.file, finding.where.line, finding.where.column,
                          finding.number);
    });
    std::vector<Diagnostic> result;
    result.reserve(findings_.size() + 1);
    // What is wrong in [defaults.*] is found once for each table that takes it.
    for (auto& finding : findings_)
        if (result.empty() || result.back() != finding.diagnostic)
            result.push_back(std::move(finding.diagnostic));
    if (dropped_ > 0) {
        const auto severity = errors_ > 0 ? Severity::error : Severity::warning;
        result.push_back(
            describe(severity, {}, fmt::format("{} more findings are not shown", dropped_)));
    }
    findings_.clear();
    dropped_ = 0;
    return result;
}

}  // namespace penstock::config
