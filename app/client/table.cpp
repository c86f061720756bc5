#include "app/client/table.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "app/client/text.hpp"

namespace penstock::app::client {

namespace {

constexpr std::size_t gap = 2;
constexpr std::size_t least_width = 6;  // of a column that shrinks

std::string_view sequence(Style style) noexcept {
    switch (style) {
        case Style::plain: return "";
        case Style::bold: return "\x1b[1m";
        case Style::dim: return "\x1b[2m";
        case Style::good: return "\x1b[32m";
        case Style::warning: return "\x1b[33m";
        case Style::bad: return "\x1b[1;31m";
    }
    std::unreachable();
}

bool says_nothing(const Cell& cell) { return cell.text.empty() || cell.text == "-"; }

/// Appends what still fits; false once the line is full.
bool append_cut(std::string& out, std::size_t& used, std::string_view text, Style style,
                const Canvas& canvas) {
    const std::size_t width = display_width(text);
    const bool fits = canvas.width == 0 || used + width <= canvas.width;
    const std::string shown = fits ? std::string(text) : cut_to(text, canvas.width - used);
    out += painted(shown, style, canvas);
    used += fits ? width : display_width(shown);
    return fits;
}

}  // namespace

std::string painted(std::string_view text, Style style, const Canvas& canvas) {
    if (!canvas.colour || style == Style::plain || text.empty()) return std::string(text);
    return std::string(sequence(style)).append(text).append("\x1b[0m");
}

void Table::add(std::vector<Cell> row) {
    row.resize(columns_.size());
    rows_.push_back(std::move(row));
}

bool Table::is_blank(std::size_t column) const {
    return columns_[column].optional && std::ranges::all_of(rows_, [column](const auto& row) {
               return says_nothing(row[column]);
           });
}

std::vector<std::size_t> Table::widths(const Canvas& canvas) const {
    std::vector<std::size_t> widths(columns_.size(), 0);
    std::size_t total = 0;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
        if (is_blank(i)) continue;
        widths[i] = display_width(columns_[i].title);
        for (const auto& row : rows_) widths[i] = std::max(widths[i], display_width(row[i].text));
        total += widths[i] + gap;
    }
    if (total != 0) total -= gap;
    while (canvas.width != 0 && total > canvas.width) {
        std::size_t* widest = nullptr;
        for (std::size_t i = 0; i < columns_.size(); ++i)
            if (columns_[i].shrinks && widths[i] > least_width &&
                (widest == nullptr || widths[i] > *widest))
                widest = &widths[i];
        if (widest == nullptr) break;
        --*widest;
        --total;
    }
    return widths;
}

std::string Table::line(const std::vector<Cell>& row, const std::vector<std::size_t>& widths,
                        const Canvas& canvas) const {
    std::string out;
    std::size_t used = 0;
    std::size_t blanks = 0;  // owed, so that no line ends with any
    bool first = true;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
        if (is_blank(i)) continue;
        if (!std::exchange(first, false)) blanks += gap;
        const std::string text = cut_to(row[i].text, widths[i]);
        const std::size_t padding = widths[i] - display_width(text);
        if (columns_[i].align == Align::right) blanks += padding;
        if (!text.empty()) {
            if (!append_cut(out, used, std::string(blanks, ' '), Style::plain, canvas)) break;
            blanks = 0;
            if (!append_cut(out, used, text, row[i].style, canvas)) break;
        }
        if (columns_[i].align == Align::left) blanks += padding;
    }
    return out;
}

std::vector<std::string> Table::lines(const Canvas& canvas) const {
    const auto widths = this->widths(canvas);
    std::vector<std::string> out;
    std::vector<Cell> titles;
    titles.reserve(columns_.size());
    for (const auto& column : columns_) titles.push_back({column.title, Style::bold});
    if (!std::ranges::all_of(titles, [](const Cell& cell) { return cell.text.empty(); }))
        out.push_back(line(titles, widths, canvas));
    for (const auto& row : rows_) out.push_back(line(row, widths, canvas));
    return out;
}

std::string Table::text(const Canvas& canvas) const {
    std::string out;
    for (const auto& line : lines(canvas)) out += line + '\n';
    return out;
}

std::string line_of(const std::vector<Cell>& cells, const Canvas& canvas) {
    std::string out;
    std::size_t used = 0;
    for (const auto& cell : cells) {
        if (cell.text.empty()) continue;
        if (used != 0 && !append_cut(out, used, " ", Style::plain, canvas)) break;
        if (!append_cut(out, used, cell.text, cell.style, canvas)) break;
    }
    return out;
}

}  // namespace penstock::app::client
