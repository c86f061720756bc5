#include "app/manual/markdown.hpp"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

namespace penstock::app::manual {

namespace {

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
    while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
    return text;
}

std::vector<std::string_view> lines_of(std::string_view text) {
    std::vector<std::string_view> lines;
    while (!text.empty()) {
        const auto end = text.find('\n');
        lines.push_back(text.substr(0, end));
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
    return lines;
}

std::vector<std::string_view> cells_of(std::string_view row) {
    std::vector<std::string_view> cells;
    row.remove_prefix(1);  // the first bar
    for (std::size_t at = 0, from = 0; at < row.size(); ++at) {
        if (row[at] != '|' || (at > 0 && row[at - 1] == '\\')) continue;
        cells.push_back(trimmed(row.substr(from, at - from)));
        from = at + 1;
    }
    return cells;
}

std::string without_bar_escapes(std::string_view text) {
    std::string out(text);
    for (auto at = out.find("\\|"); at != std::string::npos; at = out.find("\\|", at + 1))
        out.erase(at, 1);
    return out;
}

// The first cell is what the row is about, the last one what is said of it; those between belong to
// the first, under their headings where a bare value would not tell.
std::string row(const std::vector<std::string_view>& titles,
                const std::vector<std::string_view>& cells) {
    if (cells.empty()) return {};
    auto tag = fmt::format("\\fB{}\\fR", inline_text(without_bar_escapes(cells.front())));
    for (std::size_t i = 1; i + 1 < cells.size(); ++i) {
        if (cells[i].empty()) continue;
        const bool named = i < titles.size() && titles[i] == "default" && cells[i] != "required";
        tag += fmt::format("{} {}{}", i == 1 ? ":" : ";", named ? "default " : "",
                           inline_text(without_bar_escapes(cells[i])));
    }
    return fmt::format(".TP\n{}\n{}\n", tag,
                       cells.size() > 1 ? inline_text(without_bar_escapes(cells.back())) : "");
}

bool is_block_start(std::string_view line) {
    return line.empty() || line.starts_with('#') || line.starts_with('|') ||
           line.starts_with("- ") || line.starts_with("    ") || line.starts_with("```");
}

class Converter {
public:
    explicit Converter(std::string_view markdown) : lines_(lines_of(markdown)) {}

    std::string run() {
        while (at_ < lines_.size()) block();
        return std::move(out_);
    }

private:
    void block() {
        const auto line = lines_[at_];
        if (line.empty())
            ++at_;
        else if (line.starts_with('#'))
            heading();
        else if (line.starts_with('|'))
            table();
        else if (line.starts_with("```"))
            fenced();
        else if (line.starts_with("    "))
            indented();
        else
            paragraph();
    }

    void heading() {
        auto text = lines_[at_++];
        while (text.starts_with('#')) text.remove_prefix(1);
        out_ += fmt::format(".SS {}\n", inline_text(trimmed(text)));
    }

    void table() {
        const auto titles = cells_of(lines_[at_]);
        for (at_ += 2; at_ < lines_.size() && lines_[at_].starts_with('|'); ++at_)
            out_ += row(titles, cells_of(lines_[at_]));
    }

    void fenced() {
        out_ += ".PP\n.RS 4\n.nf\n";
        for (++at_; at_ < lines_.size() && !lines_[at_].starts_with("```"); ++at_)
            out_ += escaped(lines_[at_]) + "\n";
        ++at_;
        out_ += ".fi\n.RE\n";
    }

    void indented() {
        out_ += ".PP\n.RS 4\n.nf\n";
        for (; at_ < lines_.size() && lines_[at_].starts_with("    "); ++at_)
            out_ += escaped(lines_[at_].substr(4)) + "\n";
        out_ += ".fi\n.RE\n";
    }

    void paragraph() {
        std::string text(lines_[at_++]);
        const bool item = text.starts_with("- ");
        if (item) text.erase(0, 2);
        while (at_ < lines_.size() &&
               (!is_block_start(lines_[at_]) || (item && lines_[at_].starts_with("  ")))) {
            text += '\n';
            text += trimmed(lines_[at_++]);
        }
        out_ += fmt::format("{}\n{}\n", item ? ".IP \\(bu 2" : ".PP", inline_text(text));
    }

    std::vector<std::string_view> lines_;
    std::size_t at_ = 0;
    std::string out_;
};

std::size_t level_of(std::string_view line) {
    return std::min(line.find_first_not_of('#'), line.size());
}

}  // namespace

std::string escaped(std::string_view text) {
    std::string out;
    bool at_start = true;
    for (const char c : text) {
        // At the beginning of a line these would be requests.
        if (at_start && (c == '.' || c == '\'')) out += "\\&";
        at_start = c == '\n';
        switch (c) {
            case '\\': out += "\\e"; break;
            case '-': out += "\\-"; break;
            case '~': out += "\\(ti"; break;
            case '^': out += "\\(ha"; break;
            case '`': out += "\\(ga"; break;
            case '\'': out += "\\(aq"; break;
            default: out += c;
        }
    }
    return out;
}

std::string inline_text(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        const auto mark = text.find_first_of("`*[");
        out += escaped(text.substr(0, mark));
        if (mark == std::string_view::npos) break;
        const char kind = text[mark];
        text.remove_prefix(mark + 1);
        const bool strong = kind == '*' && text.starts_with('*');
        if (strong) text.remove_prefix(1);
        const auto close = text.find(kind == '[' ? "]("
                                     : strong    ? "**"
                                                 : std::string_view(&kind, 1));
        const auto end =
            kind == '[' && close != std::string_view::npos ? text.find(')', close) : close;
        // A lone mark is one, as is what stands for a pattern.
        if (end == std::string_view::npos || (kind == '*' && close == 0)) {
            out += kind;
            continue;
        }
        const auto inside = text.substr(0, close);
        if (kind == '[')
            out += inline_text(inside);
        else
            out +=
                fmt::format("{}{}\\fR", kind == '`' || strong ? "\\fB" : "\\fI", escaped(inside));
        text.remove_prefix(end + (strong ? 2 : 1));
    }
    return out;
}

std::string to_man(std::string_view markdown) { return Converter(markdown).run(); }

std::string_view section_of(std::string_view markdown, std::string_view heading) {
    const auto line = fmt::format("{}\n", heading);
    const auto found = markdown.starts_with(line) ? 0 : markdown.find("\n" + line);
    if (found == std::string_view::npos) return {};
    const auto from = markdown.find('\n', found + 1) + 1;
    const auto level = level_of(heading);
    bool in_code = false;
    for (auto at = from; at < markdown.size();) {
        const auto rest = markdown.substr(at);
        if (rest.starts_with("```")) in_code = !in_code;
        if (!in_code && rest.starts_with('#') && level_of(rest) <= level)
            return markdown.substr(from, at - from);
        const auto end = rest.find('\n');
        if (end == std::string_view::npos) break;
        at += end + 1;
    }
    return markdown.substr(from);
}

}  // namespace penstock::app::manual
