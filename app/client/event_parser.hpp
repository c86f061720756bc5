#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace penstock::app::client {

/// One server-sent event: `event: status`, `data: {...}`.
struct ServerEvent {
    std::string name;  // `message` if the stream gave none
    std::string data;
};

/// Cuts a stream of server-sent events (HTML standard, "Parsing an event stream") into events, in
/// whatever pieces it comes.
class EventParser {
public:
    /// Of one event; a longer one is an error.
    static constexpr std::size_t longest = 32UL << 20U;

    /// False if an event became too long; nothing more comes then.
    [[nodiscard]] bool feed(std::string_view bytes);
    [[nodiscard]] std::optional<ServerEvent> next();

private:
    void take_line(std::string_view line);

    std::string input_;
    std::size_t read_ = 0;     // of input_
    std::size_t scanned_ = 0;  // of input_: no line ends before
    ServerEvent event_{};
    bool has_data_ = false;
};

}  // namespace penstock::app::client
