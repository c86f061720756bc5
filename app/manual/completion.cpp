#include "app/manual/completion.hpp"

#include <algorithm>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace penstock::app::manual {

namespace {

std::vector<std::string> names(const Option& option) {
    std::vector<std::string> out;
    if (!option.short_name.empty()) out.push_back("-" + option.short_name);
    if (!option.long_name.empty()) out.push_back("--" + option.long_name);
    return out;
}

std::vector<std::string> words(const Command& command) {
    std::vector<std::string> out;
    for (const auto& option : command.options)
        for (auto& name : names(option)) out.push_back(std::move(name));
    for (const auto& argument : command.arguments)
        out.insert(out.end(), argument.choices.begin(), argument.choices.end());
    return out;
}

// `'` ends a string of the shell; in a description of zsh's _arguments `:` and brackets mean
// something.
std::string zsh_text(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c == '\'')
            out += "'\\''";
        else if (c == ':' || c == '[' || c == ']' || c == '\\')
            out += std::string("\\") + c;
        else
            out += c;
    }
    return out;
}

std::string zsh_action(const Option& option) {
    if (!option.choices.empty()) return fmt::format("({})", fmt::join(option.choices, " "));
    return option.value == "FILE" ? "_files" : "";
}

std::string zsh_value(const Option& option) {
    if (option.value.empty()) return {};
    return fmt::format(":{}:{}", zsh_text(option.value), zsh_action(option));
}

std::string zsh_spec(const Option& option) {
    const auto all = names(option);
    const auto text = fmt::format("[{}]{}", zsh_text(option.text), zsh_value(option));
    if (all.size() == 1) return fmt::format("'{}{}'", all.front(), text);
    return fmt::format("'({})'{{{}}}'{}'", fmt::join(all, " "), fmt::join(all, ","), text);
}

void append_zsh_specs(std::string& out, const Command& command, std::string_view indent) {
    for (const auto& option : command.options)
        out += fmt::format(" \\\n{}{}", indent, zsh_spec(option));
    for (std::size_t i = 0; i < command.arguments.size(); ++i) {
        const auto& argument = command.arguments[i];
        out += fmt::format(
            " \\\n{}'{}:{}:{}'", indent,
            argument.repeats ? "*" : std::to_string(i + 1) + (argument.required ? "" : ":"),
            zsh_text(argument.text), zsh_action(argument));
    }
}

void append_bash_values(std::string& out, const Command& command) {
    for (const auto& option : command.options) {
        if (option.value.empty()) continue;
        std::vector<std::string> cases;
        for (const auto& name : names(option))
            cases.push_back(fmt::format("\"{} {}\"", command.name, name));
        std::string action;
        if (option.value == "FILE")
            action =
                "compopt -o filenames 2>/dev/null\n"
                "            mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n            ";
        else if (!option.choices.empty())
            action = fmt::format(
                "mapfile -t COMPREPLY < <(compgen -W \"{}\" -- \"$word\")\n"
                "            ",
                fmt::join(option.choices, " "));
        out +=
            fmt::format("        {})\n            {}return ;;\n", fmt::join(cases, " | "), action);
    }
}

}  // namespace

std::string bash_completion(const Command& program) {
    std::vector<std::string> top = words(program);
    for (const auto& command : program.commands) top.push_back(command.name);
    std::string out = R"(# shellcheck shell=bash
# Completion of penstock(1) for bash, made by penstock_manual from the program's own help.
_penstock() {
    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command="" words="" i
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; ++i)); do
        if [[ ${COMP_WORDS[i]} != -* ]]; then
            command=${COMP_WORDS[i]}
            break
        fi
    done
    case "$command $previous" in
)";
    for (const auto& command : program.commands) append_bash_values(out, command);
    out += "    esac\n    case $command in\n";
    out += fmt::format("        \"\") words=\"{}\" ;;\n", fmt::join(top, " "));
    for (const auto& command : program.commands)
        out += fmt::format("        {}) words=\"{}\" ;;\n", command.name,
                           fmt::join(words(command), " "));
    out +=
        "    esac\n    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n}\n"
        "complete -F _penstock penstock\n";
    return out;
}

std::string zsh_completion(const Command& program) {
    std::string out =
        "#compdef penstock\n"
        "# Made by penstock_manual from the program's own help.\n\n"
        "_penstock() {\n    local context state line\n    typeset -A opt_args\n"
        "    local -a commands=(\n";
    for (const auto& command : program.commands)
        out += fmt::format("        '{}:{}'\n", command.name, zsh_text(command.text));
    out += "    )\n    _arguments -C";
    append_zsh_specs(out, program, "        ");
    out +=
        " \\\n        '1: :->command' '*:: :->rest'\n    case $state in\n"
        "        command) _describe command commands ;;\n        rest)\n"
        "            case $words[1] in\n";
    for (const auto& command : program.commands) {
        out += fmt::format("                {})\n                    _arguments", command.name);
        append_zsh_specs(out, command, "                        ");
        out += " ;;\n";
    }
    out += "            esac ;;\n    esac\n}\n\n_penstock \"$@\"\n";
    return out;
}

}  // namespace penstock::app::manual
