#include "net/tls/ticket_keys.hpp"

#include <algorithm>
#include <mutex>
#include <optional>
#include <stdexcept>

#include <openssl/rand.h>

#include "base/secret.hpp"

namespace penstock::net::tls {

namespace {

using Keys = std::vector<TicketKey>;

std::shared_ptr<const Keys> share(Keys keys) {
    auto* owned = new Keys(std::move(keys));
    return {owned, [](Keys* dropped) {
                penstock::wipe(dropped->data(), dropped->size() * sizeof(TicketKey));
                delete dropped;
            }};
}

// Made in its place: a copy on the stack would stay.
Keys random_key() {
    Keys keys(1);
    TicketKey& key = keys.front();
    if (RAND_bytes(key.name.data(), static_cast<int>(key.name.size())) != 1 ||
        RAND_priv_bytes(key.cipher.data(), static_cast<int>(key.cipher.size())) != 1 ||
        RAND_priv_bytes(key.mac.data(), static_cast<int>(key.mac.size())) != 1)
        throw std::runtime_error(
            "OpenSSL has no random bytes for the keys of TLS session tickets: its default "
            "provider is missing or broken");
    return keys;
}

}  // namespace

std::expected<TicketKey, std::string> parse_ticket_key(std::string_view bytes) {
    if (bytes.size() != 80 && bytes.size() != 48)
        return std::unexpected("has " + std::to_string(bytes.size()) +
                               " bytes; a key of session tickets has 80 or 48 (openssl rand 80)");
    std::expected<TicketKey, std::string> parsed;  // the only copy
    TicketKey& key = *parsed;
    key.aes128 = bytes.size() == 48;
    const auto take = [&bytes](auto& into, std::size_t size) {
        std::copy_n(bytes.begin(), size, into.begin());
        bytes.remove_prefix(size);
    };
    take(key.name, 16);
    if (key.aes128) {
        take(key.cipher, 16);
        take(key.mac, 16);
    } else {
        take(key.mac, 32);
        take(key.cipher, 32);
    }
    return parsed;
}

std::string serialize_ticket_key(const TicketKey& key) {
    std::string bytes;
    bytes.reserve(key.aes128 ? 48 : 80);
    const auto put = [&bytes](const auto& from, std::size_t size) {
        bytes.append(reinterpret_cast<const char*>(from.data()), size);
    };
    put(key.name, 16);
    if (key.aes128) {
        put(key.cipher, 16);
        put(key.mac, 16);
    } else {
        put(key.mac, 32);
        put(key.cipher, 32);
    }
    return bytes;
}

struct TicketKeys::State {
    mutable std::mutex mutex{};
    std::shared_ptr<const Keys> keys = share(random_key());
    std::optional<TimePoint> since{};  // when the newest came into use; set by the first look
    bool shared = false;
};

TicketKeys::TicketKeys() : state_(std::make_unique<State>()) {}
TicketKeys::~TicketKeys() = default;

void TicketKeys::use_shared(std::vector<TicketKey> keys) {
    const bool shared = !keys.empty();
    {
        const std::lock_guard lock(state_->mutex);
        if (!shared && !state_->shared) return;
        state_->keys = share(shared ? keys : random_key());
        state_->shared = shared;
        state_->since.reset();
    }
    penstock::wipe(keys.data(), keys.size() * sizeof(TicketKey));
}

void TicketKeys::inherit(std::vector<TicketKey> keys, TimePoint since) {
    if (!keys.empty()) {
        const std::lock_guard lock(state_->mutex);
        state_->keys = share(keys);
        state_->shared = false;
        state_->since = since;
    }
    penstock::wipe(keys.data(), keys.size() * sizeof(TicketKey));
}

void TicketKeys::rotate_if_due(TimePoint now) {
    const std::lock_guard lock(state_->mutex);
    if (state_->shared) return;
    if (!state_->since) state_->since = now;
    if (now - *state_->since < rotation) return;
    const std::size_t old = std::min(state_->keys->size(), kept);
    Keys keys;
    keys.reserve(1 + old);
    Keys fresh = random_key();
    keys.push_back(fresh.front());
    penstock::wipe(fresh.data(), sizeof(TicketKey));
    keys.insert(keys.end(), state_->keys->begin(),
                state_->keys->begin() + static_cast<std::ptrdiff_t>(old));
    state_->keys = share(keys);
    penstock::wipe(keys.data(), keys.size() * sizeof(TicketKey));
    state_->since = now;
}

std::shared_ptr<const std::vector<TicketKey>> TicketKeys::keys() const {
    const std::lock_guard lock(state_->mutex);
    return state_->keys;
}

bool TicketKeys::shared() const {
    const std::lock_guard lock(state_->mutex);
    return state_->shared;
}

std::optional<TimePoint> TicketKeys::since() const {
    const std::lock_guard lock(state_->mutex);
    return state_->since;
}

}  // namespace penstock::net::tls
