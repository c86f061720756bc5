#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace penstock::net::tls {

/// Lower case, without a dot at the end.
[[nodiscard]] std::string canonical_name(std::string_view name);

/// `pattern` is `name`, or `*.` and all of `name` but its first label. Both are canonical.
[[nodiscard]] bool name_matches(std::string_view pattern, std::string_view name) noexcept;

/// Which certificates are for a name: an exact name goes before `*.`, which stands for one label.
class NameIndex {
public:
    using Group = std::vector<std::uint32_t>;  // in the order they were added

    void add(std::string_view name, std::uint32_t certificate);
    /// nullptr = none.
    [[nodiscard]] const Group* find(std::string_view name) const;
    /// The same where a star stands for any number of labels, as in routes.
    [[nodiscard]] bool covers(std::string_view name) const;

private:
    std::unordered_map<std::string, Group> exact_;
    std::unordered_map<std::string, Group> wildcard_;  // without the `*.`
};

}  // namespace penstock::net::tls
