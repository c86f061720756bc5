#include "app/client/configuration_commands.hpp"

#include <cstdio>
#include <filesystem>
#include <iostream>
#include <iterator>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "app/client/plan_view.hpp"
#include "app/client/problems.hpp"
#include "app/diagnostics.hpp"
#include "config/source.hpp"

namespace penstock::app::client {

namespace {

std::expected<ConfigurationText, std::string> read_configuration(const std::string& file) {
    if (file == "-") {
        ConfigurationText read{.text = {std::istreambuf_iterator<char>(std::cin), {}}};
        if (read.text.empty()) return std::unexpected("there is nothing on it");
        return read;
    }
    auto text = config::read_source(file);
    if (!text) return std::unexpected(text.error());
    return ConfigurationText{.file = std::filesystem::absolute(file).lexically_normal().string(),
                             .text = *std::move(text)};
}

/// What an answer says of a configuration's text, told on standard error.
class ProblemPrinter {
public:
    /// `sent`: what the answer is about, and what the user calls it.
    ProblemPrinter(const CommandTarget& target, const std::optional<ConfigurationText>& sent,
                   std::string name)
        : sent_(sent),
          name_(std::move(name)),
          // Another machine's files may have the names of files here.
          same_machine_(target.admin.empty() || target.admin.starts_with("unix:")) {}

    void print(const json::value& answer) const {
        auto problems = problems_of(answer, [this](const auto& file) { return text_of(file); });
        for (auto& problem : problems) rename(problem);
        print_diagnostics(problems);
    }

private:
    [[nodiscard]] std::optional<std::string> text_of(const std::string& file) const {
        if (sent_ && file == sent_->file) return sent_->text;
        // From standard input: the main file's name stands for a text that it does not have.
        if (!same_machine_ || (sent_ && sent_->file.empty())) return std::nullopt;
        auto text = config::read_source(file);
        if (!text) return std::nullopt;
        return *std::move(text);
    }
    void rename(config::Diagnostic& problem) const {
        if (sent_ && !sent_->file.empty() && problem.file == sent_->file) problem.file = name_;
        for (auto& related : problem.related) rename(related);
    }

    const std::optional<ConfigurationText>& sent_;
    std::string name_;
    bool same_machine_;
};

/// Mistakes in the configuration are a status of their own, whoever finds them.
std::optional<ExitStatus> tell_mistakes(const ProblemPrinter& problems,
                                        const json::value& refusal) {
    if (items(refusal, "errors").empty()) return std::nullopt;
    problems.print(refusal);
    fmt::print(stderr, "penstock: {}\n", text_or(refusal, "error", "the configuration is invalid"));
    // A script that gives up on a bad file need not give up on a good one.
    return flag(refusal, "beyond_sandbox") ? ExitStatus::failure : ExitStatus::invalid_usage;
}

}  // namespace

ExitStatus plan(const CommandTarget& target, const PlanOptions& options) {
    std::optional<ConfigurationText> sent;
    if (!options.file.empty()) {
        auto read = read_configuration(options.file);
        if (!read) {
            fmt::print(stderr, "{}: error: {}\n",
                       options.file == "-" ? "standard input" : options.file, read.error());
            return ExitStatus::invalid_usage;
        }
        sent = *std::move(read);
    }
    const ProblemPrinter problems(target, sent, options.file);
    const Verdict verdict{
        .of_answer =
            [&](const json::value& answer) {
                problems.print(answer);
                return options.exit_code && has_changes(answer) ? ExitStatus::has_changes
                                                                : ExitStatus::success;
            },
        .of_refusal = [&](const json::value& refusal) { return tell_mistakes(problems, refusal); }};
    return ask_and_show(target, client::plan(sent), plan_view, verdict);
}

ExitStatus reload(const CommandTarget& target, const std::string& digest) {
    const std::optional<ConfigurationText> nothing_sent;
    const ProblemPrinter problems(target, nothing_sent, "");
    const Verdict verdict{
        .of_answer =
            [&](const json::value& answer) {
                problems.print(answer);
                return ExitStatus::success;
            },
        .of_refusal = [&](const json::value& refusal) { return tell_mistakes(problems, refusal); }};
    return ask_and_show(target, client::reload(digest), reload_view, verdict);
}

ExitStatus upgrade(const CommandTarget& target) {
    return ask_and_show(target, client::upgrade(), upgrade_view);
}

}  // namespace penstock::app::client
