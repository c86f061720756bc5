#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include <boost/json/object.hpp>

#include "admin/api.hpp"

namespace penstock::admin {

/// Reads the arguments of a request, from its query or its body. Each mistake is refused in words
/// that name the argument; what is absent keeps its default.
class Arguments {
public:
    explicit Arguments(const ApiRequest& request) : request_(request) {}

    /// An argument beyond these is a mistake.
    Arguments& allow(std::initializer_list<std::string_view> names);

    [[nodiscard]] std::string text(std::string_view name);
    [[nodiscard]] bool flag(std::string_view name, bool default_value);
    [[nodiscard]] double share(std::string_view name, double default_value);
    [[nodiscard]] Duration duration(std::string_view name, Duration default_value);
    [[nodiscard]] std::uint64_t number(std::string_view name, std::uint64_t default_value,
                                       std::uint64_t most);
    [[nodiscard]] bool has(std::string_view name) const;

    void complain(std::string problem);
    /// Nothing = all is well.
    [[nodiscard]] std::optional<Refusal> refusal() const;

private:
    [[nodiscard]] std::optional<std::string> in_query(std::string_view name) const;
    [[nodiscard]] const boost::json::value* in_body(std::string_view name) const;

    const ApiRequest& request_;
    std::vector<std::string> problems_;
};

/// As the access log spells it; nothing = there is none of that name.
[[nodiscard]] std::optional<CloseReason> reason_named(std::string_view name);

}  // namespace penstock::admin
