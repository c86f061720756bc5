#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/diagnostic.hpp"

/// What a change of the configuration does to the running proxy, as the API and the commands show
/// it.
namespace penstock::admin {

struct PlannedChange {
    enum class Op : std::uint8_t {
        add,
        remove,
        change,
        restart,        // needs a new start: the running value stays
        kept_override,  // what an operator has changed while running stays on top of it
    };

    Op op = Op::change;
    std::string what{};  // `listener web`, `upstream web`, `upstream web backend d`, `process`
    std::string key{};   // "" = the whole of it came or went; `connect_timeout`, `queue.timeout`
    std::string from{};  // as written in a file, without quotes; of an added backend: its address
    std::string to{};
    std::string effect{};  // in words: `new connections only`, `slow start 30s`
    std::uint64_t sessions = 0;  // live ones that this ends, now or by and by
    std::string balance{};  // the upstream's policy, where `effect` tells what follows from it
};

struct Plan {
    std::string digest{};  // of both configurations; "" if there are errors
    std::vector<PlannedChange> changes{};  // empty = nothing changes
    std::uint64_t closed_now = 0;  // sessions that end at once
    std::uint64_t draining = 0;  // sessions that end by and by
    std::vector<config::Diagnostic> problems{};  // errors and warnings of the new configuration
    /// The errors are what the sandbox of this process does not let it do: another process could.
    bool beyond_sandbox = false;

    [[nodiscard]] bool valid() const { return !config::has_errors(problems); }
};

/// Which configuration a plan is asked for.
struct PlanRequest {
    /// The text of the main file; nothing = the file on disk that a reload would read.
    std::optional<std::string> text{};
    /// With `text`: its absolute path, for messages and relative paths; "" = as if it were the file
    /// that a reload would read.
    std::string file{};
};

struct ReloadRequest {
    std::string expect{};  // digest; "" = whatever there is
};

/// How a reload went. `error` is a sentence; nothing has changed if there is one.
struct Reloaded {
    Plan plan{};
    std::string error{};  // "" = `plan` is in force
};

/// An upgrade whose new process is ready.
struct Upgraded {
    int pid = 0;  // of the new process
    std::string version{};
    std::uint64_t sessions = 0;  // that the old process goes on with
};

}  // namespace penstock::admin
