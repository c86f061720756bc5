#pragma once

#include <cstdint>
#include <expected>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <boost/json/array.hpp>

#include "app/ledger/ledger.hpp"
#include "app/tls/ticket_key_book.hpp"
#include "base/clock.hpp"
#include "config/upstream.hpp"
#include "proxy/inspect/session_info.hpp"

/// What an old process and the new one that takes over from it tell each other, as plain values
/// and as JSON. The two may be of different versions, either of them the newer one: fields are
/// known by their names, those that one side does not know are left out.
namespace penstock::app::upgrade {

/// Listening sockets of one bind address, or one that no listener uses now. As many descriptors
/// come with the manifest, in the order of the lists: sockets, then admin sockets, then the
/// channels of the older processes.
struct SocketEntry {
    std::string bind{};   // as configured: what the new process looks for
    std::string bound{};  // with the real port
    std::string listener{};  // whose; "" = an admin listener's, or an older version says nothing
    std::uint64_t count = 0;
    std::uint64_t unix_device = 0;  // of the path, where this process made it; 0 = it did not
    std::uint64_t unix_inode = 0;
    std::string passed_as{};  // by a service manager: `systemd:web`
    int passed_number = 0;
    bool operator==(const SocketEntry&) const = default;
};

/// What operators changed while running goes on.
struct BackendOverride {
    BackendName name{};
    std::optional<config::BackendState> state{};
    std::optional<std::uint32_t> weight{};
    std::string by{};
    WallTime since{};
    // What the old process's file says of it; nothing = it does not list it, or an older version
    // does not tell.
    std::optional<config::BackendState> state_in_file{};
    std::optional<std::uint32_t> weight_in_file{};
    bool operator==(const BackendOverride&) const = default;
};

struct SplitOverride {
    std::string listener{};
    std::map<std::string, std::uint32_t> weights{};  // by upstream
    std::string by{};
    std::map<std::string, std::uint32_t> weights_in_file{};  // empty: an older version
    bool operator==(const SplitOverride&) const = default;
};

struct PauseLeft {
    std::string upstream{};
    std::optional<Duration> left{};  // nothing = until somebody resumes it
    std::string by{};  // "" = an older version does not tell
    bool operator==(const PauseLeft&) const = default;
};

/// What a process that drains has counted so far, and has now.
struct Figures {
    Ledger ledger{};
    Gauges gauges{};
    std::optional<Duration> left{};  // until it ends its last sessions
    bool takes_orders = false;  // it knows Order; an earlier version may not
    std::uint64_t memory = 0;  // resident bytes; 0: an earlier version does not tell
};

/// A process that drains since an earlier upgrade.
struct OlderProcess {
    int pid = 0;
    std::string version{};
    Figures last{};
};

/// From the old process, first: all that the new one takes over.
struct Manifest {
    static constexpr std::uint64_t own_protocol = 1;

    std::uint64_t protocol = own_protocol;
    std::string version{};
    int pid = 0;
    WallTime started{};
    std::vector<SocketEntry> sockets{};
    std::vector<SocketEntry> admin_sockets{};
    std::vector<BackendOverride> overrides{};
    std::vector<SplitOverride> splits{};
    std::vector<PauseLeft> pauses{};
    std::map<std::string, TicketKeysLeft> ticket_keys{};  // by listener
    bool draining = false;
    std::set<std::string> draining_listeners{};
    Ledger gone{};  // what processes have counted that have ended
    std::vector<OlderProcess> older{};

    /// How many have to come with it; nothing if the counts are beyond reason.
    [[nodiscard]] std::optional<std::size_t> descriptors() const noexcept;
    /// Forgets what is secret in it.
    void wipe() noexcept;
};

/// From the new process: it accepts, or it does not and ends.
struct Ready {
    int pid = 0;
    std::string version{};
};
struct Failed {
    std::string reason{};  // a sentence for the user
};

/// To the old process, and its answer of the same number: `sessions` are objects of the API.
struct SessionsRequest {
    std::uint64_t number = 0;
    proxy::SessionFilter filter{};
};
struct SessionsAnswer {
    std::uint64_t number = 0;
    boost::json::array sessions{};
};

/// Sessions of one backend.
struct SessionCount {
    std::uint64_t all = 0;
    std::uint64_t old_enough = 0;  // had their connection before some moment
    bool operator==(const SessionCount&) const = default;
};

/// To the old process: what an operator, or a reload, has done is to be done there as well. Its
/// answer has the same number.
struct Order {
    enum class Kind : std::uint8_t {
        unknown,  // of another version
        kill_session,  // `session`
        count_sessions,  // of each backend of `upstream`; those older than `min_age` on their own
        end_sessions,  // so many of the backends of `upstream` as `quotas` says
        change_backend,  // as `change` says; with neither state nor weight it is as configured
        drain_listener,  // it has left the configuration: its sessions end as their upstreams say
        pause,  // `upstream`, for `max`
        resume,  // `upstream`
        closes,  // what the filter names
    };
    std::uint64_t number = 0;
    Kind kind = Kind::unknown;
    std::string session{};
    std::string listener{};
    std::string upstream{};
    BackendOverride change{};
    std::map<std::string, std::uint64_t> quotas{};  // by backend
    Duration min_age{};
    Duration over{};
    Duration max{};
    std::string reason{};  // closes: only those of this reason; end_sessions: that of the ending
    std::uint64_t limit = 0;
    std::string by{};
    /// change_backend: where it is to be now, `10.0.0.1:80`; "" = wherever. At another address its
    /// sessions drain, at this one `state_there` counts instead of the state in `change`, which is
    /// for versions that do not know this.
    std::string address{};
    std::optional<config::BackendState> state_there{};  // nothing = as configured
    /// After that nobody waits for it, and it is not to be done; the epoch = it is in any case.
    /// All processes of a machine have the same steady clock.
    TimePoint valid_until{};
};
struct OrderAnswer {
    std::uint64_t number = 0;
    bool understood = false;  // and in time
    bool done = false;  // there was something to do
    std::map<std::string, SessionCount> sessions{};  // by backend
    std::map<std::string, std::uint64_t> closing{};  // by backend
    boost::json::array closes{};  // pairs: when it ended in ms, its line
};

/// How an order went in one of the old processes.
struct OrderReply {
    int pid = 0;
    std::string version{};
    Gauges gauges{};  // what it had when it last said it
    std::optional<OrderAnswer> answer{};  // nothing: it does not know the order, or keeps silent
};

/// A message that this version does not know; to be ignored.
struct Unknown {
    std::string type{};
};

using Message = std::variant<Manifest, Ready, Failed, Figures, SessionsRequest, SessionsAnswer,
                             Order, OrderAnswer, Unknown>;

/// The text may be secret, as the message is: whoever sends it wipes it.
[[nodiscard]] std::string encode(const Message& message);
/// The error is a sentence. A manifest of another protocol is one.
[[nodiscard]] std::expected<Message, std::string> decode(std::string_view text);

}  // namespace penstock::app::upgrade
