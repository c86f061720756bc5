#pragma once

#include <string>
#include <string_view>

#include "config/document.hpp"
#include "config/key_table.hpp"
#include "config/origins.hpp"
#include "config/reporter.hpp"
#include "config/value_reader.hpp"

namespace penstock::config {

/// A table that is being read, with the tables around it.
struct Scope {
    const Scope* parent;
    const TableSpec& spec;
    const Table& table;
    Region where;
    std::string path;    // in Origins, "" for the top of the file
    std::string header;  // for messages
    bool in_defaults = false;
};

/// Walks the document along the key table and fills the structs. Reports every key that is unknown,
/// misplaced or missing.
class TableReader {
public:
    TableReader(Reporter& reporter, const Environment& environment, Origins& origins)
        : reporter_(reporter), origins_(origins), values_(reporter, environment, origins) {}

    /// Only `include`, for the main file.
    void read_include(const Table& document, std::uint32_t file, Root& root);
    /// Only [defaults]; to be done for all files before read_root(), because what stands in one
    /// file is the default for the tables of all.
    void read_defaults(const Table& document, std::uint32_t file, Root& root);
    /// Everything else. Lists of tables append to what is there.
    void read_root(const Table& document, std::uint32_t file, Root& root);

private:
    void read_entry(const Scope& scope, const Entry& entry, void* object);
    void read_table(const Scope& scope, const Key& key, const Entry& entry, void* object);
    void read_rows(const Scope& scope, const Key& key, const Entry& entry, void* object);
    void read_row(const Scope& scope, const Key& key, const Node& node, void* object,
                  std::size_t index, bool complete);
    void read_keys(const Scope& scope, void* object);
    void check_required(const Scope& scope);
    void apply_derived_defaults(const Scope& scope, void* object);
    /// Reports the form of a table written for one that there can be several of. False = it was
    /// the right one.
    bool report_single_brackets(const Scope& scope, const Key& key, const Node& node,
                                Region key_where);
    bool report_given_twice(const Scope& scope, const Key& key, const Node& node);

    /// A table whose keys are server names.
    void read_names(const Scope& scope, const Key& key, const Entry& entry, void* object);
    /// Reports a row of such a table whose value is no string.
    void report_no_name(const Scope& scope, const Entry& entry);

    Reporter& reporter_;
    Origins& origins_;
    ValueReader values_;
};

/// The message for a key that its table does not know, and where to point at.
struct UnknownKey {
    Region where;
    std::string message;
};
[[nodiscard]] UnknownKey explain_unknown_key(const Scope& scope, const Entry& entry);

/// `[defaults.listener.timeouts]` for `[listener.timeouts]` where that is meant.
[[nodiscard]] std::string header_of(const TableSpec& spec, bool in_defaults);

/// " in [process]", " at the top of the file".
[[nodiscard]] std::string in_table(const Scope& scope);

}  // namespace penstock::config
