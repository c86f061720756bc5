#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>

#include <fmt/format.h>

#include "app/command_line.hpp"
#include "app/manual/completion.hpp"
#include "app/manual/man_page.hpp"
#include "app/version.hpp"
#include "base/close_reason.hpp"
#include "config/reference.hpp"

// penstock_manual DOCS OUT: writes the manual pages and the completions into OUT. It is the
// program's own code that tells what they say, so that they cannot tell anything else.
namespace {

namespace fs = std::filesystem;
namespace manual = penstock::app::manual;

std::string read(const fs::path& path) {
    std::ifstream file(path);
    if (!file) throw std::runtime_error(path.string() + ": cannot be read");
    return {std::istreambuf_iterator<char>(file), {}};
}

void write(const fs::path& path, const std::string& text) {
    std::ofstream file(path);
    file << text;
    file.close();
    if (!file) throw std::runtime_error(path.string() + ": cannot be written");
}

/// With the words that an option takes, where the command line itself need not know them.
manual::Command complete_command_line() {
    auto program = penstock::app::describe_command_line();
    for (auto& command : program.commands)
        for (auto& option : command.options)
            if (option.value == "REASON")
                for (std::size_t i = 1; i < penstock::close_reason_count; ++i)
                    option.choices.emplace_back(
                        penstock::name_of(static_cast<penstock::CloseReason>(i)));
    return program;
}

void write_all(const fs::path& docs, const fs::path& out) {
    const auto program = complete_command_line();
    const auto version = penstock::app::version();
    fs::create_directories(out);
    write(out / "penstock.1",
          manual::command_page(program, version, read(docs / "command-line.md")));
    write(out / "penstock.toml.5",
          manual::configuration_page(version, read(docs / "configuration.md"),
                                     penstock::config::reference()));
    write(out / "penstock.bash", manual::bash_completion(program));
    write(out / "_penstock", manual::zsh_completion(program));
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) {
        fmt::print(stderr, "usage: penstock_manual DOCS OUT\n");
        return 2;
    }
    try {
        write_all(argv[1], argv[2]);
        return 0;
    } catch (const std::exception& e) {
        fmt::print(stderr, "penstock_manual: {}\n", e.what());
        return 1;
    }
}
