#pragma once

#include <string>
#include <string_view>

namespace penstock::app::manual {

/// Text as it may stand in a manual page, whatever it contains.
[[nodiscard]] std::string escaped(std::string_view text);

/// Markdown within a line (code, emphasis, links) as requests for fonts.
[[nodiscard]] std::string inline_text(std::string_view text);

/// The Markdown that the pages of docs/ are written in, as the macros of man(7): headings of the
/// third level and below become subsections, rows of tables become tagged paragraphs.
[[nodiscard]] std::string to_man(std::string_view markdown);

/// What stands below this heading, up to the next one of its level; "" = there is none.
[[nodiscard]] std::string_view section_of(std::string_view markdown, std::string_view heading);

}  // namespace penstock::app::manual
