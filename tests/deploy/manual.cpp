#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <sstream>
#include <string>

#include "tests/support/child_process.hpp"
#include "tests/support/proxy_process.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::test {
namespace {

namespace fs = std::filesystem;

const fs::path manual = fs::path(PENSTOCK_BUILD) / "manual";

std::string read(const fs::path& path) {
    std::ifstream file(path);
    EXPECT_TRUE(file) << path;
    return {std::istreambuf_iterator<char>(file), {}};
}

std::string run_bash(const std::string& script, const std::vector<std::string>& arguments = {}) {
    std::vector<std::string> argv{"bash", "-c", script, "bash"};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    return run_program(argv);
}

/// A page as a reader sees it, wide enough that no word is broken.
std::string shown(const std::string& page) {
    return run_bash("MANWIDTH=2000 MANPAGER=cat man --local-file \"$1\" | col -b -x",
                    {(manual / page).string()});
}

std::set<std::string> commands() {
    std::set<std::string> names;
    const auto help = run_penstock({"--help"}).output;
    static const std::regex row("^  ([a-z]+) +[A-Z]");
    std::istringstream lines(help.substr(help.find("Subcommands:")));
    for (std::string line; std::getline(lines, line);)
        if (std::smatch match; std::regex_search(line, match, row)) names.insert(match[1]);
    EXPECT_GT(names.size(), 15U);
    return names;
}

/// The tables of keys on the page that is held to be true by tests of its own.
std::string reference_page() {
    const auto page = read(fs::path(PENSTOCK_SOURCE) / "docs/configuration.md");
    return page.substr(page.find("### Top of the file"));
}

/// What completion offers when the cursor stands behind these words.
std::set<std::string> completed(const std::string& words) {
    const auto text = run_bash(
        "source \"$1\"; read -ra COMP_WORDS <<<\"$2\"; [[ $2 != *' ' ]] || COMP_WORDS+=('')\n"
        "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _penstock; printf '%s\\n' \"${COMPREPLY[@]}\"",
        {(manual / "penstock.bash").string(), words});
    std::istringstream lines(text);
    std::set<std::string> result;
    for (std::string line; std::getline(lines, line);)
        if (!line.empty()) result.insert(line);
    return result;
}

TEST(ManualPages, are_well_formed) {
    for (const char* page : {"penstock.1", "penstock.toml.5"})
        EXPECT_EQ(run_bash("man --warnings --encoding=utf8 --local-file \"$1\" 2>&1 >/dev/null",
                           {(manual / page).string()}),
                  "");
}

TEST(ManualPages, have_every_command_and_every_option) {
    const auto page = shown("penstock.1");
    static const std::regex option("--[a-z][a-z-]+");
    for (const auto& command : commands()) {
        EXPECT_NE(page.find("penstock " + command), std::string::npos) << command;
        const auto help = run_penstock({command, "--help"}).output;
        for (std::sregex_iterator it(help.begin(), help.end(), option), end; it != end; ++it)
            EXPECT_NE(page.find(it->str()), std::string::npos) << command << ' ' << it->str();
    }
    for (const char* word : {"SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "no running proxy"})
        EXPECT_NE(page.find(word), std::string::npos) << word;
}

TEST(ManualPages, have_every_key) {
    const auto page = shown("penstock.toml.5");
    const auto reference = reference_page();
    static const std::regex row("\n\\| `([a-z_]+)` \\|");
    std::size_t count = 0;
    for (std::sregex_iterator it(reference.begin(), reference.end(), row), end; it != end; ++it) {
        EXPECT_NE(page.find((*it)[1].str() + ": "), std::string::npos) << (*it)[1];
        ++count;
    }
    EXPECT_GT(count, 150U);
    for (const char* word : {"`", "](", "**"})
        EXPECT_EQ(page.find(word), std::string::npos) << "Markdown is left";
}

TEST(Completion, bash_knows_commands_options_and_values) {
    for (const auto& command : commands()) {
        EXPECT_TRUE(completed("penstock ").contains(command)) << command;
        EXPECT_TRUE(completed("penstock " + command + " -").contains("--help")) << command;
    }
    EXPECT_EQ(completed("penstock st"), (std::set<std::string>{"status"}));
    EXPECT_EQ(completed("penstock plan --ex"), (std::set<std::string>{"--exit-code"}));
    EXPECT_EQ(completed("penstock backend web/a main"), (std::set<std::string>{"maintenance"}));
    EXPECT_EQ(completed("penstock closes --reason queue_"),
              (std::set<std::string>{"queue_full", "queue_timeout"}));
    const TempDir files;
    files.write("one.toml", "");
    files.write("other.toml", "");
    EXPECT_EQ(completed("penstock run -c " + files.path("on")),
              (std::set<std::string>{files.path("one.toml")}));
    EXPECT_TRUE(completed("penstock sessions --older ").empty()) << "any duration";
    run_program({"shellcheck", (manual / "penstock.bash").string()});
}

TEST(Completion, zsh_loads_it_and_offers_the_same) {
    run_program({"zsh", "-n", (manual / "_penstock").string()});
    // What zsh's own functions are told: commands by _describe, the rest by _arguments.
    const auto text = run_program({"zsh", "-f", "-c", R"(
fpath=($1 $fpath); autoload -Uz compinit; compinit -u -D
[[ ${_comps[penstock]} == _penstock ]] || { print 'not registered'; exit 1 }
_arguments() { print -l -- "$@"; state=rest; [[ $words[1] != top ]] || state=command }
_describe() { print -l -- ${(P)2} }
for words in top backend closes; do words=($words); _penstock; done)",
                                   "zsh", manual.string()});
    for (const auto& command : commands())
        EXPECT_NE(text.find("\n" + command + ":"), std::string::npos) << command;
    EXPECT_NE(text.find("(ready drain maintenance weight reset)"), std::string::npos) << text;
    EXPECT_NE(text.find("queue_timeout"), std::string::npos);
}

}  // namespace
}  // namespace penstock::test
