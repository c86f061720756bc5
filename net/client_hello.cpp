#include "net/client_hello.hpp"

#include <algorithm>
#include <utility>

#include <arpa/inet.h>

namespace penstock::net {

namespace {

using Status = ClientHelloReader::Status;

constexpr std::uint8_t content_handshake = 22;
constexpr std::uint8_t version_major = 3;
constexpr std::size_t longest_record = 16384;  // of plaintext
constexpr std::size_t message_header_size = 4;
constexpr std::uint8_t type_client_hello = 1;
constexpr std::size_t longest_session_id = 32;
constexpr std::uint32_t extension_server_name = 0;
constexpr std::uint32_t extension_alpn = 16;
constexpr std::uint32_t name_type_host_name = 0;
constexpr std::size_t longest_host_name = 255;
constexpr std::size_t longest_label = 63;

std::uint8_t number(std::byte b) { return std::to_integer<std::uint8_t>(b); }

/// Reads forward only. After a failure everything is empty.
class Cursor {
public:
    explicit Cursor(std::span<const std::byte> bytes) : bytes_(bytes) {}

    [[nodiscard]] bool failed() const noexcept { return failed_; }
    [[nodiscard]] bool at_end() const noexcept { return bytes_.empty(); }
    std::span<const std::byte> take(std::size_t size) noexcept {
        if (size > bytes_.size()) {
            failed_ = true;
            bytes_ = {};
            return {};
        }
        const auto taken = bytes_.first(size);
        bytes_ = bytes_.subspan(size);
        return taken;
    }
    std::uint32_t take_number(std::size_t size) noexcept {
        std::uint32_t value = 0;
        for (const std::byte b : take(size)) value = value << 8 | number(b);
        return value;
    }
    /// What follows a length of `length_size` bytes.
    std::span<const std::byte> take_vector(std::size_t length_size) noexcept {
        return take(take_number(length_size));
    }

private:
    std::span<const std::byte> bytes_;
    bool failed_ = false;
};

bool is_host_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

bool is_ipv4(const std::string& name) {
    in_addr address{};
    return ::inet_pton(AF_INET, name.c_str(), &address) == 1;
}

/// What is wrong; "" = nothing.
std::string_view read_server_name(std::span<const std::byte> extension, ClientHello& hello) {
    Cursor outer(extension);
    Cursor list(outer.take_vector(2));
    const std::uint32_t type = list.take_number(1);
    const auto name = list.take_vector(2);
    if (outer.failed() || !outer.at_end() || list.failed())
        return "the server_name extension is malformed";
    if (!list.at_end()) return "the server_name extension has several names";
    if (type != name_type_host_name) return "the server_name is of an unknown type";
    if (name.empty()) return "the server_name is empty";
    hello.server_name =
        normalized_server_name({reinterpret_cast<const char*>(name.data()), name.size()});
    return "";
}

std::string_view read_alpn(std::span<const std::byte> extension, ClientHello& hello) {
    constexpr std::string_view malformed = "the ALPN extension is malformed";
    Cursor outer(extension);
    Cursor list(outer.take_vector(2));
    if (outer.failed() || !outer.at_end() || list.at_end()) return malformed;
    while (!list.at_end()) {
        const auto name = list.take_vector(1);
        if (list.failed() || name.empty()) return malformed;
        hello.alpn.emplace_back(reinterpret_cast<const char*>(name.data()), name.size());
    }
    return "";
}

std::string_view read_extensions(Cursor extensions, ClientHello& hello) {
    bool has_server_name = false;
    bool has_alpn = false;
    while (!extensions.at_end()) {
        const std::uint32_t type = extensions.take_number(2);
        const auto body = extensions.take_vector(2);
        if (extensions.failed()) return "an extension does not end inside the hello";
        std::string_view problem;
        if (type == extension_server_name) {
            if (std::exchange(has_server_name, true))
                return "the server_name extension is there twice";
            problem = read_server_name(body, hello);
        } else if (type == extension_alpn) {
            if (std::exchange(has_alpn, true)) return "the ALPN extension is there twice";
            problem = read_alpn(body, hello);
        }
        if (!problem.empty()) return problem;
    }
    return "";
}

std::string_view read_body(std::span<const std::byte> body, ClientHello& hello) {
    Cursor fields(body);
    fields.take(2 + 32);  // legacy_version, random
    const auto session_id = fields.take_vector(1);
    fields.take_vector(2);  // cipher suites
    fields.take_vector(1);  // compression methods
    if (fields.failed()) return "the hello is shorter than its fields";
    if (session_id.size() > longest_session_id) return "the session id is longer than 32 bytes";
    if (fields.at_end()) return "";
    const Cursor extensions(fields.take_vector(2));
    if (fields.failed() || !fields.at_end())
        return "the extensions do not end where the hello ends";
    return read_extensions(extensions, hello);
}

}  // namespace

std::string normalized_server_name(std::string_view name) {
    if (name.size() > longest_host_name) return "";
    std::string host(name);
    if (host.ends_with('.')) host.pop_back();
    std::size_t label = 0;
    for (char& c : host) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
        if (c == '.' ? label == 0 : !is_host_character(c)) return "";
        label = c == '.' ? 0 : label + 1;
        if (label > longest_label) return "";
    }
    return label == 0 || is_ipv4(host) ? "" : host;  // IPv6 has colons, which no name has
}

Status ClientHelloReader::fail(Status status, std::string_view problem) noexcept {
    status_ = status;
    problem_ = problem;
    message_ = {};
    hello_ = {};
    return status_;
}

Status ClientHelloReader::feed(std::span<const std::byte> bytes) {
    while (status_ == Status::need_more && !bytes.empty()) {
        if (record_left_ == 0) {
            take_header_byte(bytes.front());
            bytes = bytes.subspan(1);
            continue;
        }
        const std::size_t size = std::min(record_left_, bytes.size());
        take_fragment(bytes.first(size));
        bytes = bytes.subspan(size);
    }
    return status_;
}

void ClientHelloReader::take_header_byte(std::byte byte) {
    const auto other = first_record_ ? Status::not_tls : Status::invalid;
    header_[header_size_++] = byte;
    if (header_size_ == 1 && number(byte) != content_handshake) {
        fail(other,
             first_record_ ? "it is not TLS" : "a record of another type interrupts the hello");
        return;
    }
    if (header_size_ == 2 && number(byte) != version_major) {
        fail(other, "the version of a record is not 3.x");
        return;
    }
    if (!first_record_ && ++taken_ > max_bytes_) {
        fail(Status::too_large, "the hello and its records are larger than allowed");
        return;
    }
    if (header_size_ < record_header_size) return;
    record_left_ = static_cast<std::size_t>(number(header_[3]) << 8 | number(header_[4]));
    header_size_ = 0;
    first_record_ = false;
    if (record_left_ == 0) fail(Status::invalid, "a record without bytes");
    if (record_left_ > longest_record) fail(Status::invalid, "a record is longer than 16384 bytes");
}

void ClientHelloReader::take_fragment(std::span<const std::byte> fragment) {
    record_left_ -= fragment.size();
    // The message's header tells how much is wanted; nothing behind the hello is kept.
    while (!fragment.empty() && status_ == Status::need_more) {
        const std::size_t goal = message_size_ == 0 ? message_header_size : message_size_;
        const std::size_t size = std::min(goal - message_.size(), fragment.size());
        if (taken_ + size > max_bytes_) {
            fail(Status::too_large, "the hello and its records are larger than allowed");
            return;
        }
        taken_ += size;
        message_.insert(message_.end(), fragment.begin(),
                        fragment.begin() + static_cast<std::ptrdiff_t>(size));
        fragment = fragment.subspan(size);
        if (number(message_.front()) != type_client_hello)
            fail(Status::invalid, "the first handshake message is no ClientHello");
        else if (message_size_ == 0 && message_.size() == message_header_size)
            begin_message();
        else if (message_.size() == message_size_)
            finish_message();
    }
}

void ClientHelloReader::begin_message() {
    const std::size_t length = Cursor(message_).take_number(message_header_size) & 0xffffff;
    if (message_header_size + length > max_bytes_) {
        fail(Status::too_large, "the hello is larger than allowed");
        return;
    }
    message_size_ = message_header_size + length;
    message_.reserve(message_size_);
    if (length == 0) finish_message();
}

void ClientHelloReader::finish_message() {
    const auto problem =
        read_body(std::span<const std::byte>(message_).subspan(message_header_size), hello_);
    if (!problem.empty()) {
        fail(Status::invalid, problem);
        return;
    }
    status_ = Status::complete;
    message_ = {};
}

}  // namespace penstock::net
