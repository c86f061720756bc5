#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::config {

enum class Severity : std::uint8_t { error, warning, note };

/// "error", "warning" or "note".
[[nodiscard]] std::string_view to_string(Severity severity) noexcept;

/// One finding, complete in itself: it outlives the text it was found in.
struct Diagnostic {
    Severity severity = Severity::error;
    std::string file;          // as the user named it
    std::uint32_t line = 0;    // from 1; 0 = the file as a whole
    std::uint32_t column = 0;  // from 1, in characters (code points), as editors count
    std::uint32_t length = 0;  // characters from `column` that the finding is about
    std::string message;       // one line, no final stop

    /// The source line, or the part of a very long one around the column, safe for a terminal:
    /// control characters and broken UTF-8 are replaced one for one. Empty = nothing to show.
    std::string source_line;
    std::uint32_t caret_offset = 0;  // where in source_line the carets start
    std::uint32_t caret_length = 0;

    /// Other places that the message is about, as notes ("first given here").
    std::vector<Diagnostic> related;

    bool operator==(const Diagnostic&) const = default;
};

/// Fills source line and carets of a finding with the line that it is about.
void quote_line(Diagnostic& diagnostic, std::string_view line);

/// `file:line:column: error: message`, the source line and the carets, then the related places.
/// Every line ends with '\n'.
[[nodiscard]] std::string format(const Diagnostic& diagnostic);
[[nodiscard]] std::string format(std::span<const Diagnostic> diagnostics);

[[nodiscard]] bool has_errors(std::span<const Diagnostic> diagnostics) noexcept;

/// `text` in single quotes for a message: control characters escaped, shortened when very long.
[[nodiscard]] std::string quote(std::string_view text);

}  // namespace penstock::config
