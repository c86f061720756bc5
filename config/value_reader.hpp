#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/document.hpp"
#include "config/interpolate.hpp"
#include "config/key.hpp"
#include "config/origins.hpp"
#include "config/reporter.hpp"

namespace penstock::config {

/// A value on its way to its member.
struct Field {
    const Key& key;
    std::string_view header;  // of the table it stands in, for messages
    const std::string& path;  // in Origins
    Slot slot;
};

/// Reads one value that is not a table into its slot: type, environment, words, range. What is
/// wrong is reported and leaves the slot as it was.
class ValueReader {
public:
    ValueReader(Reporter& reporter, const Environment& environment, Origins& origins)
        : reporter_(reporter), environment_(environment), origins_(origins) {}

    void read(const Field& field, const Node& node);
    /// For what a key of this kind takes, where `node` has another type.
    void wrong_type(const Key& key, std::string_view header, const Node& node);
    /// The text of a string with its references replaced; reports what is wrong with them.
    std::optional<std::string> text(const Key& key, std::string_view header, const Node& node);

private:
    void read_boolean(const Field& field, const Node& node);
    void read_integer(const Field& field, const Node& node);
    void read_number(const Field& field, const Node& node);
    void read_share(const Field& field, const Node& node);
    void read_duration(const Field& field, const Node& node);
    void read_size(const Field& field, const Node& node);
    void read_rate(const Field& field, const Node& node);
    void read_byte_rate(const Field& field, const Node& node);
    void read_string(const Field& field, const Node& node);
    void read_path(const Field& field, const Node& node);
    void read_name(const Field& field, const Node& node);
    void read_mode(const Field& field, const Node& node);
    void read_word(const Field& field, const Node& node);
    void read_words(const Field& field, const Node& node);
    void read_strings(const Field& field, const Node& node);
    void read_paths(const Field& field, const Node& node);
    void read_server_names(const Field& field, const Node& node);
    void read_address(const Field& field, const Node& node);
    void read_name_servers(const Field& field, const Node& node);
    void read_statuses(const Field& field, const Node& node);
    void read_bind(const Field& field, const Node& node);
    template <typename T>
    using BindParser = std::expected<std::vector<T>, std::string> (*)(std::string_view text,
                                                                      std::string_view directory);
    /// One element may stand for several.
    template <typename T>
    void read_binds(const Field& field, const Node& node, std::vector<T>& target,
                    BindParser<T> parse);
    void read_local_addresses(const Field& field, const Node& node);
    void read_peers(const Field& field, const Node& node);

    /// A number with or without a fraction; reports any other type.
    std::optional<double> number(const Field& field, const Node& node);
    /// The number of `word` among the key's words; reports words that are none.
    std::optional<std::uint8_t> word_number(const Field& field, const Node& node,
                                            std::string_view word);
    /// A node with the type the key takes, where a quoted number or boolean comes from the
    /// environment: `"${WEIGHT:-1}"`.
    Node from_environment(const Field& field, const Node& node);
    /// Reports `'key' in [table]: "text" problem`.
    void complain(const Field& field, const Node& node, std::string_view text,
                  std::string_view problem);
    [[nodiscard]] std::string_view directory(const Node& node) const;

    Reporter& reporter_;
    const Environment& environment_;
    Origins& origins_;
};

}  // namespace penstock::config
