#include "app/password_file.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "config/source.hpp"

namespace penstock::app {

std::expected<std::string, std::string> read_password(const std::string& path) {
    if (path.empty()) return "";
    auto text = config::read_source(path);
    if (!text) return std::unexpected(fmt::format("password file {}: {}", path, text.error()));
    text->resize(std::min(text->size(), text->find_first_of("\r\n")));
    if (text->empty())
        return std::unexpected(fmt::format("password file {}: its first line is empty", path));
    return *std::move(text);
}

}  // namespace penstock::app
