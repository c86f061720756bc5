#pragma once

#include <string_view>

#include "proxy/access_log/line_buffer.hpp"
#include "proxy/access_log/record.hpp"

namespace penstock::proxy {

/// Appends one whole line with its newline: a JSON object, or `key=value` pairs, with the same
/// fields in the same order; fields that are unknown are left out.
void append_json(LineBuffer& out, const LogRecord& record);
void append_text(LineBuffer& out, const LogRecord& record);

/// Appends `text` as a JSON string with its quotes. Control characters are escaped, bytes that are
/// not UTF-8 become U+FFFD, and more than 256 bytes are cut.
void append_json_string(LineBuffer& out, std::string_view text);
/// The same for the text form: quoted where the text has anything but plain printable characters.
void append_text_value(LineBuffer& out, std::string_view text);

}  // namespace penstock::proxy
