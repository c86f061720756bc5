#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::app::client {

/// Where a view is shown.
struct Canvas {
    std::size_t width = 0;  // columns; 0 = no limit (a pipe, a file)
    bool colour = false;
};

enum class Style : std::uint8_t { plain, bold, dim, good, warning, bad };

/// `text` with the terminal's sequences for `style`, if the canvas has colours.
[[nodiscard]] std::string painted(std::string_view text, Style style, const Canvas& canvas);

struct Cell {
    std::string text;
    Style style = Style::plain;
};

enum class Align : std::uint8_t { left, right };

struct Column {
    std::string title;
    Align align = Align::left;
    bool shrinks = false;   // gives up width where the canvas is too narrow
    bool optional = false;  // left out if no row has anything there
};

/// Rows in aligned columns, two blanks apart; cells are sanitised texts. What does not fit into the
/// canvas is cut off: first the columns that shrink, then the end of the lines.
class Table {
public:
    explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

    /// Missing cells are empty.
    void add(std::vector<Cell> row);
    [[nodiscard]] bool empty() const noexcept { return rows_.empty(); }

    /// The titles, unless all are empty, then the rows; without line ends.
    [[nodiscard]] std::vector<std::string> lines(const Canvas& canvas) const;
    [[nodiscard]] std::string text(const Canvas& canvas) const;

private:
    [[nodiscard]] bool is_blank(std::size_t column) const;
    [[nodiscard]] std::vector<std::size_t> widths(const Canvas& canvas) const;
    [[nodiscard]] std::string line(const std::vector<Cell>& row,
                                   const std::vector<std::size_t>& widths,
                                   const Canvas& canvas) const;

    std::vector<Column> columns_;
    std::vector<std::vector<Cell>> rows_;
};

/// One line of cells, a blank apart where they do not bring their own, cut to the canvas.
[[nodiscard]] std::string line_of(const std::vector<Cell>& cells, const Canvas& canvas);

}  // namespace penstock::app::client
