#include "config/diagnostic.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "config/text.hpp"

namespace penstock::config {

namespace {

constexpr std::size_t longest_quotation = 80;
// A longer line is cut to this much around the finding.
constexpr std::uint32_t widest_excerpt = 160;
constexpr std::uint32_t context_before = 40;

void append(std::string& out, const Diagnostic& diagnostic) {
    out += diagnostic.file;
    if (diagnostic.line > 0) out += fmt::format(":{}:{}", diagnostic.line, diagnostic.column);
    out += fmt::format(": {}: {}\n", to_string(diagnostic.severity), diagnostic.message);
    if (!diagnostic.source_line.empty()) {
        out += fmt::format("{:>5} | {}\n", diagnostic.line, diagnostic.source_line);
        const auto margin = std::max<std::size_t>(5, std::to_string(diagnostic.line).size());
        out += fmt::format("{:>{}} | {:>{}}{:^>{}}\n", "", margin, "", diagnostic.caret_offset, "",
                           std::max(1U, diagnostic.caret_length));
    }
    for (const auto& related : diagnostic.related) append(out, related);
}

}  // namespace

std::string_view to_string(Severity severity) noexcept {
    switch (severity) {
        case Severity::error: return "error";
        case Severity::warning: return "warning";
        case Severity::note: return "note";
    }
    return "error";
}

void quote_line(Diagnostic& diagnostic, std::string_view line) {
    const std::uint32_t first = diagnostic.column > widest_excerpt - context_before
                                    ? diagnostic.column - context_before
                                    : 1;
    line.remove_prefix(byte_offset(line, first));
    const auto cut = byte_offset(line, widest_excerpt + 1);
    diagnostic.source_line = printable(line.substr(0, cut));
    diagnostic.caret_offset = diagnostic.column - first;
    diagnostic.caret_length = std::min(
        diagnostic.length, widest_excerpt - std::min(widest_excerpt, diagnostic.caret_offset));
    if (cut < line.size()) diagnostic.source_line += "...";
    if (first > 1) {
        diagnostic.source_line.insert(0, "...");
        diagnostic.caret_offset += 3;
    }
}

std::string format(const Diagnostic& diagnostic) {
    std::string out;
    append(out, diagnostic);
    return out;
}

std::string format(std::span<const Diagnostic> diagnostics) {
    std::string out;
    for (const auto& diagnostic : diagnostics) append(out, diagnostic);
    return out;
}

bool has_errors(std::span<const Diagnostic> diagnostics) noexcept {
    return std::ranges::any_of(diagnostics,
                               [](const auto& d) { return d.severity == Severity::error; });
}

std::string quote(std::string_view text) {
    std::string out = "'";
    std::size_t taken = 0;
    while (taken < text.size() && taken < longest_quotation) {
        const auto size = character_size(text.substr(taken));
        const auto character = text.substr(taken, size);
        if (is_printable(character))
            out += character;
        else
            for (const char byte : character)
                out += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
        taken += size;
    }
    if (taken < text.size()) out += "...";
    return out += '\'';
}

}  // namespace penstock::config
