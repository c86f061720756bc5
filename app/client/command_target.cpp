#include "app/client/command_target.hpp"

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <fmt/format.h>

#include "app/client/report.hpp"
#include "app/client/status_view.hpp"
#include "app/client/terminal.hpp"
#include "app/token_file.hpp"

namespace penstock::app::client {

namespace {

constexpr unsigned service_unavailable = 503;

ExitStatus print(std::string text) {
    if (!text.ends_with('\n')) text += '\n';
    write_out(text);  // a reader that has left, such as `head`, is no error
    return ExitStatus::success;
}

ExitStatus fail(const CommandTarget& target, const ClientError& error,
                const Verdict& verdict = {}) {
    if (error.kind != ClientError::Kind::refused) return report(error);
    if (target.as_json) print(error.body);
    boost::system::error_code no_json;
    const auto answer = json::parse(error.body, no_json);
    if (verdict.of_refusal && !no_json)
        if (const auto status = verdict.of_refusal(answer)) return *status;
    return report(error);
}

std::expected<json::value, ClientError> parsed(const std::string& body) {
    boost::system::error_code error;
    auto value = json::parse(body, error);
    if (!error) return value;
    return std::unexpected(ClientError{ClientError::Kind::failed,
                                       "the answer is not JSON (" + error.message() +
                                           "); is this the address of an [[admin.listener]]?"});
}

}  // namespace

std::expected<ClientOptions, std::string> client_options(const CommandTarget& target) {
    ClientOptions options;
    if (target.admin.empty()) {
        options.addresses = default_addresses(config::process_environment());
    } else {
        auto address = parse_admin_address(target.admin);
        if (!address) return std::unexpected("--admin: " + address.error());
        options.addresses = {*std::move(address)};
    }
    if (!target.token_file.empty()) {
        auto token = read_token(target.token_file);
        if (!token) return std::unexpected(token.error());
        options.token = *std::move(token);
    }
    return options;
}

ExitStatus with_options(const CommandTarget& target,
                        const std::function<ExitStatus(const ClientOptions&)>& command) {
    const auto options = client_options(target);
    if (options) return command(*options);
    fmt::print(stderr, "penstock: {}\n", options.error());
    return ExitStatus::invalid_usage;
}

ExitStatus ask_and_show(const CommandTarget& target, const Request& request, const View& view,
                        const Verdict& verdict) {
    return with_options(target, [&](const ClientOptions& options) {
        const auto body = ApiClient(options).ask(request);
        if (!body) return fail(target, body.error(), verdict);
        if (target.as_json && !verdict.of_answer) return print(*body);
        // A change may be answered with nothing at all.
        const auto value = parsed(body->empty() ? "null" : *body);
        if (!value) return report(value.error());
        print(target.as_json ? *body : view(*value, standard_output_canvas()));
        return verdict.of_answer ? verdict.of_answer(*value) : ExitStatus::success;
    });
}

ExitStatus show_status(const CommandTarget& target) {
    return with_options(target, [&](const ClientOptions& options) {
        const ApiClient client(options);
        std::string all;  // the answers as they are, under their names
        for (const std::string name : {"status", "listeners", "upstreams"}) {
            const auto body = client.ask({.target = "/api/v1/" + name});
            if (!body) return fail(target, body.error());
            all += fmt::format("{}\"{}\":{}", all.empty() ? "{" : ",", name, *body);
        }
        all += "}";
        if (target.as_json) return print(all);
        const auto value = parsed(all);
        if (!value) return report(value.error());
        return print(status_view(*value, standard_output_canvas()));
    });
}

ExitStatus show_readiness(const CommandTarget& target, const std::string& route) {
    return with_options(target, [&](const ClientOptions& options) {
        const auto answer = ApiClient(options).ask({.target = route});
        if (answer) return print(*answer);
        // What a probe shows of a failure is standard output.
        if (answer.error().status != service_unavailable) return report(answer.error());
        print(answer.error().body);
        return ExitStatus::failure;
    });
}

}  // namespace penstock::app::client
