#pragma once

#include <string>
#include <vector>

/// The command line as data: what manual page and completions are made of.
namespace penstock::app::manual {

/// An option, or an argument without a dash, which has a value name alone.
struct Option {
    std::string short_name{};  // "c"; "" = none
    std::string long_name{};   // "config"
    std::string value{};       // "FILE"; "" = takes none
    std::string text{};
    std::string default_value{};
    std::vector<std::string> choices{};  // the values that there are, where they are known
    bool required = false;
    bool repeats = false;  // takes several values

    friend bool operator==(const Option&, const Option&) = default;
};

struct Command {
    std::string name{};
    std::string text{};
    std::vector<Option> options{};
    std::vector<Option> arguments{};
    std::vector<Command> commands{};
};

}  // namespace penstock::app::manual
