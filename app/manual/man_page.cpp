#include "app/manual/man_page.hpp"

#include <algorithm>
#include <stdexcept>
#include <vector>

#include <fmt/format.h>

#include "app/manual/markdown.hpp"

namespace penstock::app::manual {

namespace {

std::string head(std::string_view name, int section, std::string_view version,
                 std::string_view book) {
    return fmt::format(
        ".\\\" Made by penstock_manual from the program's own help, key table and pages.\n"
        ".TH {} {} \"\" \"penstock {}\" \"{}\"\n",
        escaped(name), section, version, book);
}

std::string part(std::string_view page, std::string_view heading) {
    const auto text = section_of(page, heading);
    if (text.empty()) throw std::runtime_error(fmt::format("no section '{}'", heading));
    return to_man(text);
}

std::string placeholder(const Option& option) {
    if (option.value.empty()) return {};
    std::string words;
    for (const auto& choice : option.choices)
        words += fmt::format("{}{}", words.empty() ? "" : "|", escaped(choice));
    const bool wordy = !option.choices.empty() && words.size() < 60;
    return wordy ? words : fmt::format("\\fI{}\\fR", escaped(option.value));
}

std::string tag(const Option& option) {
    std::string names;
    if (!option.short_name.empty()) names = fmt::format("\\fB\\-{}\\fR", option.short_name);
    if (!option.long_name.empty())
        names +=
            fmt::format("{}\\fB\\-\\-{}\\fR", names.empty() ? "" : ", ", escaped(option.long_name));
    const auto value = placeholder(option);
    return names + (names.empty() || value.empty() ? "" : " ") + value;
}

std::string paragraph(const Option& option) {
    const auto& more = option.default_value;
    return fmt::format(".TP\n{}\n{}{}\n", tag(option), inline_text(option.text),
                       more.empty() ? "" : fmt::format(" [{}]", escaped(more)));
}

std::string synopsis(const Command& command) {
    auto line = fmt::format("\\fBpenstock {}\\fR", escaped(command.name));
    if (!command.options.empty()) line += " [\\fIOPTIONS\\fR]";
    for (const auto& argument : command.arguments) {
        const auto word = placeholder(argument) + (argument.repeats ? " ..." : "");
        line += argument.required ? " " + word : " [" + word + "]";
    }
    return line;
}

// What most commands have in common is told once.
class CommonOptions {
public:
    explicit CommonOptions(const Command& program) {
        for (const auto& command : program.commands)
            for (const auto& option : command.options) add(option, command.name);
        std::erase_if(rows_, [&](const Row& row) {
            return row.commands.size() * 2 < program.commands.size();
        });
        for (auto& row : rows_) {
            const bool all = row.commands.size() == program.commands.size();
            if (all) row.commands.clear();
        }
    }

    [[nodiscard]] bool contains(const Option& option) const {
        return std::ranges::find(rows_, option, &Row::option) != rows_.end();
    }

    [[nodiscard]] std::string text() const {
        std::string out;
        for (const auto& [option, commands] : rows_) {
            out += paragraph(option);
            if (commands.empty()) continue;
            out += ".IP\nOf: ";
            for (const auto& name : commands)
                out += fmt::format("{}\\fB{}\\fR", &name == &commands.front() ? "" : ", ", name);
            out += ".\n";
        }
        return out;
    }

private:
    struct Row {
        Option option;
        std::vector<std::string> commands;
    };

    void add(const Option& option, const std::string& command) {
        auto row = std::ranges::find(rows_, option, &Row::option);
        if (row == rows_.end()) row = rows_.insert(rows_.end(), {option, {}});
        row->commands.push_back(command);
    }

    std::vector<Row> rows_;
};

}  // namespace

std::string command_page(const Command& program, std::string_view version, std::string_view page) {
    const CommonOptions common(program);
    auto out = head("PENSTOCK", 1, version, "User Commands");
    out += fmt::format(
        ".SH NAME\npenstock \\- {}\n.SH SYNOPSIS\n\\fBpenstock\\fR \\fICOMMAND\\fR "
        "[\\fIOPTIONS\\fR]\n.SH OPTIONS\n",
        inline_text(program.text.substr(program.text.find("load"))));
    for (const auto& option : program.options) out += paragraph(option);
    out += ".SH COMMANDS\n";
    for (const auto& command : program.commands) {
        out += fmt::format(".SS {}\n{}\n", synopsis(command), inline_text(command.text));
        for (const auto& argument : command.arguments) out += paragraph(argument);
        for (const auto& option : command.options)
            if (!common.contains(option)) out += paragraph(option);
    }
    out += ".SH COMMON OPTIONS\n" + common.text();
    out += ".SH SIGNALS\n" + part(page, "### Signals");
    out += ".SH EXIT STATUS\n" + part(page, "## Exit status");
    out +=
        ".SH FILES\n.TP\n\\fI/etc/penstock/penstock.toml\\fR\nThe configuration.\n"
        ".SH SEE ALSO\n\\fBpenstock.toml\\fR(5)\n";
    return out;
}

std::string configuration_page(std::string_view version, std::string_view page,
                               std::string_view reference) {
    auto out = head("PENSTOCK.TOML", 5, version, "File Formats");
    out += ".SH NAME\npenstock.toml \\- configuration of penstock\n.SH DESCRIPTION\n";
    const auto title = page.find('\n');
    out += to_man(page.substr(title, page.find("\n## ") - title));
    for (const auto* heading : {"## Values", "## Environment", "## Several files"}) {
        std::string name(heading + 3);
        std::ranges::transform(name, name.begin(),
                               [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
        out += fmt::format(".SH {}\n{}", name, part(page, heading));
    }
    out += ".SH KEYS\n" + to_man(reference) + ".SH SEE ALSO\n\\fBpenstock\\fR(1)\n";
    return out;
}

}  // namespace penstock::app::manual
