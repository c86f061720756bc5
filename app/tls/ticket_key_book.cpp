#include "app/tls/ticket_key_book.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include "net/tls/options.hpp"

namespace penstock::app {

namespace {

std::string to_hex(std::string_view bytes) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string text;
    text.reserve(2 * bytes.size());
    for (const char c : bytes) {
        const auto byte = static_cast<unsigned char>(c);
        text += digits[byte >> 4];
        text += digits[byte & 15];
    }
    return text;
}

// What is not hexadecimal comes out too short for a key.
std::string from_hex(const std::string& text) {
    std::string bytes;
    bytes.reserve(text.size() / 2);
    for (const char* at = text.data(); at + 2 <= text.data() + text.size(); at += 2) {
        unsigned char byte = 0;
        const auto [end, error] = std::from_chars(at, at + 2, byte, 16);
        if (error != std::errc() || end != at + 2) break;
        bytes += static_cast<char>(byte);
    }
    return bytes;
}

}  // namespace

TicketKeyBook::Keys TicketKeyBook::of(const std::string& listener) {
    const std::lock_guard lock(mutex_);
    auto& keys = keys_[listener];
    if (!keys) keys = std::make_shared<net::tls::TicketKeys>();
    return keys;
}

std::map<std::string, TicketKeyBook::Keys> TicketKeyBook::all() const {
    const std::lock_guard lock(mutex_);
    return keys_;
}

TicketKeyBook::Left TicketKeyBook::leave(const config::Config& config, TimePoint now) const {
    Left left;
    const auto known = all();
    for (const auto& listener : config.listeners) {
        const auto found = known.find(listener.name);
        if (!listener.tls || found == known.end() || found->second->shared()) continue;
        auto& entry = left[listener.name];
        entry.age = now - found->second->since().value_or(now);
        for (const auto& key : *found->second->keys()) {
            std::string bytes = net::tls::serialize_ticket_key(key);
            entry.keys.push_back(to_hex(bytes));
            net::tls::wipe(bytes);
        }
    }
    return left;
}

void TicketKeyBook::take_over(const Left& left, TimePoint now) {
    for (const auto& [listener, entry] : left) {
        std::vector<net::tls::TicketKey> keys;
        keys.reserve(entry.keys.size());
        for (const auto& text : entry.keys) {
            std::string bytes = from_hex(text);
            if (auto key = net::tls::parse_ticket_key(bytes)) keys.push_back(*key);
            net::tls::wipe(bytes);
        }
        // Whoever is wrong about the age gets new keys.
        const Duration age =
            std::clamp(entry.age, Duration::zero(), net::tls::TicketKeys::rotation);
        of(listener)->inherit(std::move(keys), now - age);
    }
}

}  // namespace penstock::app
