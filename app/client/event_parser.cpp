#include "app/client/event_parser.hpp"

#include <algorithm>
#include <utility>

namespace penstock::app::client {

bool EventParser::feed(std::string_view bytes) {
    input_.erase(0, read_);
    scanned_ -= std::min(scanned_, std::exchange(read_, 0));
    input_ += bytes;
    return input_.size() + event_.data.size() <= longest;
}

std::optional<ServerEvent> EventParser::next() {
    for (;;) {
        const auto end = input_.find('\n', std::max(scanned_, read_));
        if (end == std::string::npos) {
            scanned_ = input_.size();
            return std::nullopt;
        }
        auto line = std::string_view(input_).substr(read_, end - read_);
        if (line.ends_with('\r')) line.remove_suffix(1);
        const bool is_end = line.empty();
        take_line(line);
        read_ = end + 1;
        if (!is_end || !std::exchange(has_data_, false)) continue;
        if (event_.name.empty()) event_.name = "message";
        return std::exchange(event_, {});
    }
}

void EventParser::take_line(std::string_view line) {
    if (line.empty()) {
        if (!has_data_) event_ = {};
        return;
    }
    const auto colon = line.find(':');
    const auto key = line.substr(0, colon);
    auto value = colon == std::string_view::npos ? std::string_view() : line.substr(colon + 1);
    if (value.starts_with(' ')) value.remove_prefix(1);
    if (key == "event") {
        event_.name = value;
    } else if (key == "data") {
        if (std::exchange(has_data_, true)) event_.data += '\n';
        event_.data += value;
    }
}

}  // namespace penstock::app::client
