#pragma once

#include <functional>
#include <optional>
#include <string>

#include "app/client/api_client.hpp"
#include "app/client/fields.hpp"
#include "app/client/table.hpp"
#include "app/exit_status.hpp"

namespace penstock::app::client {

/// The options of every command that talks to a running proxy.
struct CommandTarget {
    std::string admin{};  // empty: the default addresses
    std::string token_file{};
    bool as_json = false;
};

/// Whom to ask; the error is a sentence for the user, about wrong usage.
[[nodiscard]] std::expected<ClientOptions, std::string> client_options(const CommandTarget& target);

using View = std::function<std::string(const json::value& answer, const Canvas& canvas)>;

/// What an answer means beside what is shown of it: the exit status, and perhaps words on standard
/// error.
struct Verdict {
    std::function<ExitStatus(const json::value& answer)> of_answer{};  // without: success
    /// Of the body of a refusal; nothing = it is reported like any other.
    std::function<std::optional<ExitStatus>(const json::value& answer)> of_refusal{};
};

/// Asks once and prints the answer: as it is, or through the view. Returns the exit status.
ExitStatus ask_and_show(const CommandTarget& target, const Request& request, const View& view,
                        const Verdict& verdict = {});

/// `penstock status`: three answers on one screen.
ExitStatus show_status(const CommandTarget& target);

/// `penstock ready`: one of the routes for probes, in words and in the exit status.
ExitStatus show_readiness(const CommandTarget& target, const std::string& route);

/// Runs `command` with the options of `target`, or says what is wrong with them.
ExitStatus with_options(const CommandTarget& target,
                        const std::function<ExitStatus(const ClientOptions&)>& command);

}  // namespace penstock::app::client
