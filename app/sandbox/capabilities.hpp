#pragma once

#include <cstdint>
#include <string>

/// Capabilities of Linux, by system calls of our own: capabilities(7).
namespace penstock::app::sandbox::capabilities {

/// A set of capabilities, one bit each, by their numbers.
using Set = std::uint64_t;

inline constexpr unsigned chown = 0;
inline constexpr unsigned dac_override = 1;
inline constexpr unsigned dac_read_search = 2;
inline constexpr unsigned fowner = 3;
inline constexpr unsigned setgid = 6;
inline constexpr unsigned setuid = 7;
inline constexpr unsigned setpcap = 8;
inline constexpr unsigned net_bind_service = 10;

[[nodiscard]] constexpr Set bit(unsigned capability) noexcept { return Set{1} << capability; }

/// All that a start as root may need, whatever its configuration says: to read and write what is
/// another user's, replace a socket in a directory of many, give sockets and logs away, bind to any
/// port, become another user, and drop all of these.
inline constexpr Set to_start_as_root = bit(chown) | bit(dac_override) | bit(dac_read_search) |
                                        bit(fowner) | bit(setgid) | bit(setuid) | bit(setpcap) |
                                        bit(net_bind_service);

/// What decides about those that are kept.
struct Situation {
    Set effective = 0;  // what the process has
    bool gives_sockets_away = false;  // a socket has a group of its own
    bool reads_others_files = false;  // some file cannot be read without a capability
    bool writes_others_files = false;
};
/// Those that a reload, a renewed certificate or a rotated log may need. Pure.
[[nodiscard]] Set to_keep(const Situation& situation) noexcept;

/// `none`, or their names.
[[nodiscard]] std::string names_of(Set set);

/// Of the calling thread.
[[nodiscard]] Set effective() noexcept;
/// Whether the calling thread can do this, as far as owners and modes decide: true of what does not
/// exist. Paths; a mode of access(2).
[[nodiscard]] bool can(const std::string& path, int mode) noexcept;
/// Whether it could do this without any capability.
[[nodiscard]] bool can_without(const std::string& path, int mode) noexcept;

/// Leaves the calling thread nothing but `kept`, for good; the bounding set too, where that is
/// permitted. Nothing is asked for where it has no more. 0, or errno; may be called in a signal
/// handler.
[[nodiscard]] int drop_all_but(Set kept) noexcept;

/// A program that the calling thread executes has this one too, if the thread has it; for a user
/// other than root.
void pass_on(unsigned capability) noexcept;

/// Empties the bounding set of the calling thread: for one that is about to lose the right to do
/// so with its user. 0, or errno; may be called in a signal handler.
[[nodiscard]] int drop_bounding_set() noexcept;

}  // namespace penstock::app::sandbox::capabilities
