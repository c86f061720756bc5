#include "config/guard.hpp"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

#include "config/diagnostic.hpp"
#include "config/text.hpp"

namespace penstock::config {

namespace {

/// Follows just enough of TOML's lexical rules to tell brackets and dots from the contents of
/// strings and comments. Wrong text may confuse it; the parser refuses that text anyway, at the
/// first wrong character, before it reaches what was counted wrongly.
class NestingScanner {
public:
    explicit NestingScanner(std::string_view text) : text_(text) {}

    /// Offset of the character that goes too deep, or npos.
    std::size_t find_too_deep() {
        while (at_ < text_.size()) {
            const char c = text_[at_];
            if (c == '"' || c == '\'') {
                skip_string(c);
                continue;
            }
            if (c == '#') {
                at_ = std::min(text_.find('\n', at_), text_.size());
                continue;
            }
            if (!count(c)) return at_;
            ++at_;
        }
        return std::string_view::npos;
    }

private:
    bool count(char c) {
        switch (c) {
            case '[':
            case '{': dots_ = 0; return ++depth_ <= deepest_nesting;
            case ']':
            case '}':
                if (depth_ > 0) --depth_;
                return true;
            case '.': return ++dots_ <= longest_dotted_key;
            case '\n':
            case ',':
            case '=': dots_ = 0; return true;
            default: return true;
        }
    }

    void skip_string(char quote) {
        const char triple[] = {quote, quote, quote};
        const std::string_view fence(triple, 3);
        const bool multi_line = text_.substr(at_).starts_with(fence);
        at_ += multi_line ? 3 : 1;
        while (at_ < text_.size()) {
            const char c = text_[at_];
            if (c == '\\' && quote == '"') {
                at_ = std::min(at_ + 2, text_.size());
                continue;
            }
            if (!multi_line && (c == quote || c == '\n')) {
                if (c == quote) ++at_;
                return;
            }
            if (multi_line && text_.substr(at_).starts_with(fence)) {
                at_ += 3;
                // Up to two quotes may stand before the closing three.
                for (int extra = 0; extra < 2 && at_ < text_.size() && text_[at_] == quote; ++extra)
                    ++at_;
                return;
            }
            ++at_;
        }
    }

    std::string_view text_;
    std::size_t at_ = 0;
    std::uint32_t depth_ = 0;
    std::uint32_t dots_ = 0;
};

bool is_forbidden(char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && c != '\t' && c != '\n' && c != '\r') || byte == 0x7F;
}

Region locate(const Source& source, std::uint32_t file, std::size_t offset) {
    const auto before = std::string_view(source.text()).substr(0, offset);
    const auto line = static_cast<std::uint32_t>(std::ranges::count(before, '\n') + 1);
    const auto start = before.rfind('\n') + 1;  // npos + 1 == 0: the first line
    const auto column = static_cast<std::uint32_t>(count_characters(before.substr(start)) + 1);
    return {file, line, column, 1};
}

}  // namespace

std::optional<SyntaxError> guard_text(const Source& source, std::uint32_t file) {
    const std::string_view text = source.text();
    if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF"))
        return SyntaxError{{file, 0, 0, 0}, "is UTF-16; save it as UTF-8"};
    if (const auto nul = text.find('\0'); nul != std::string_view::npos)
        return SyntaxError{locate(source, file, nul), "a NUL byte; the file is no text"};
    if (const auto found = std::ranges::find_if(text, is_forbidden); found != text.end())
        return SyntaxError{locate(source, file, static_cast<std::size_t>(found - text.begin())),
                           fmt::format("not valid TOML: the control character {}; inside a string "
                                       "it is written \"\\u{:04X}\"",
                                       quote({found, found + 1}), static_cast<unsigned>(*found))};
    if (const auto deep = NestingScanner(text).find_too_deep(); deep != std::string_view::npos)
        return SyntaxError{locate(source, file, deep),
                           fmt::format("nested too deeply: at most {} brackets and {} names in a "
                                       "dotted key",
                                       deepest_nesting, longest_dotted_key)};
    return std::nullopt;
}

}  // namespace penstock::config
