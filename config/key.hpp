#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string_view>

#include "config/effect.hpp"
#include "config/slot.hpp"

namespace penstock::config {

/// What a key takes.
enum class Kind : std::uint8_t {
    boolean,
    integer,
    number,
    share,  // 0 to 1
    duration,
    size,
    rate,
    byte_rate,
    string,
    path,          // of a file; or one of `words`
    paths,         // a list of them
    pattern,       // the path of a file, or a pattern of several: `certs/*.pem`
    name,          // of a listener or an upstream
    backend_name,
    word,          // one of `words`
    words,         // a list of them
    strings,       // a list of strings
    server_names,  // a list of names that TLS clients ask for, exact or `*.example.com`; "" = none
    peers,  // a list of CIDRs, "unix", "all"
    bind,  // a list of addresses to listen on, and of inherited sockets
    address,  // one address to connect to, or a host name with a port
    name_servers,  // a list of addresses whose port may be left out
    statuses,  // a list of HTTP statuses and ranges of them
    mode,  // permissions of a file, in octal digits
    local_addresses,  // a list of addresses without a port
    table,
    tables,  // a list of tables
    map,  // server names, each with an upstream
};

/// One key of the configuration: all that loading, printing, suggestions and the reference need.
/// A new key is one row here and one member in config.hpp.
struct Key {
    std::string_view name;
    Kind kind = Kind::string;
    /// Where the value lives in the struct of the table.
    Access access = nullptr;
    /// One line for the reference.
    std::string_view doc{};
    /// What a change of it means for the running proxy; Kind::table: of what is in the table, too.
    Effect effect = Effect::as_around;

    bool required = false;
    /// Not in [defaults.*]: every listener or upstream has its own.
    bool own = false;
    /// Only steers loading: never part of the printed configuration.
    bool input_only = false;

    /// Smallest and largest value; milliseconds for durations, bytes for sizes.
    std::int64_t least = 0;
    std::int64_t most = std::numeric_limits<std::int64_t>::max();
    /// Kind::number: `least` itself is too small.
    bool above_least = false;
    /// Kind::number: 0 is allowed besides the range.
    bool allows_zero = false;
    /// "auto" may stand in place of a number and is kept as 0.
    bool allows_auto = false;
    bool allows_never = false;
    /// Said as a warning where "never" is chosen.
    std::string_view never_warning{};
    bool whole_seconds = false;
    /// Kind::bind: a unix path may begin with `$RUNTIME`.
    bool allows_runtime = false;
    /// Kind::string: any byte may stand in it, NUL too.
    bool is_binary = false;

    /// `|` between the words, in the order of the enumerators or flags.
    std::string_view words{};

    /// Kind::table, Kind::tables, Kind::map: path of the table in the key table.
    std::string_view child{};
    /// Kind::table, Kind::tables: the key of the child that a plain value in place of a table
    /// means.
    std::string_view short_form{};
    /// Kind::backend_name: the key of the same table whose text is the default.
    std::string_view default_from{};
    /// Kind::tables: what new elements start from; it lives in the same struct.
    Access prototype = nullptr;

    /// A value for messages, as TOML.
    std::string_view example{};

    /// Part of a configuration that was loaded.
    [[nodiscard]] constexpr bool is_stored() const noexcept { return !input_only; }
};

/// A table of the configuration.
struct TableSpec {
    std::string_view path;  // "listener.timeouts", "" for the top of the file
    std::string_view header;  // as written: "[listener.timeouts]", "[[upstream]]"
    std::span<const Key> keys{};
    /// A default struct of the table, for the reference; null where it has no keys of its own.
    std::shared_ptr<void> (*make)() = nullptr;
    std::string_view doc{};
    /// Printed as `key = { ... }` or `key = [{ ... }]` instead of under a header.
    bool print_inline = false;

    /// What a change of a key means whose row does not say.
    Effect effect = Effect::as_around;
    /// Tables of a list: `|` between the keys that say which one it is; "" = the list is one value.
    std::string_view identity{};
    /// With it: the key whose value is told of a table that came or went ("" = none), and what that
    /// means.
    std::string_view summary{};
    Effect on_add = Effect::at_once;
    Effect on_remove = Effect::at_once;

    [[nodiscard]] const Key* find(std::string_view name) const noexcept;
};

}  // namespace penstock::config
