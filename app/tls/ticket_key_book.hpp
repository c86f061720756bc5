#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "config/config.hpp"
#include "net/tls/ticket_keys.hpp"

namespace penstock::app {

/// What seals the session tickets of one listener, unless that comes from files. Secret: wiped when
/// it was taken over, or sent.
struct TicketKeysLeft {
    std::vector<std::string> keys{};  // newest first; the bytes of a key file, in hexadecimal
    Duration age{};  // of the newest
    bool operator==(const TicketKeysLeft&) const = default;
};

/// The keys of tickets, by listener. They belong to the name: tickets outlive changes of the
/// configuration, of the certificates, and of the program. Any thread.
class TicketKeyBook {
public:
    using Keys = std::shared_ptr<net::tls::TicketKeys>;
    using Left = std::map<std::string, TicketKeysLeft>;

    /// Made at the first call.
    [[nodiscard]] Keys of(const std::string& listener);
    [[nodiscard]] std::map<std::string, Keys> all() const;

    /// For another process: the random keys of those listeners of `config` that have such.
    [[nodiscard]] Left leave(const config::Config& config, TimePoint now) const;
    /// What another process has left. What is no key is passed over.
    void take_over(const Left& left, TimePoint now);

private:
    mutable std::mutex mutex_;
    std::map<std::string, Keys> keys_;
};

}  // namespace penstock::app
