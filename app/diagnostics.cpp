#include "app/diagnostics.hpp"

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <utility>

#include <fmt/format.h>
#include <unistd.h>

#include "app/token_file.hpp"
#include "config/source.hpp"

namespace penstock::app {

namespace {

std::string counted(std::size_t n, const char* what) {
    return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s");
}

config::LoadResult load(const std::string& path) {
    const auto environment = config::process_environment();
    if (path == "-") return config::load_stream(STDIN_FILENO, "<stdin>", environment);
    if (const auto pipe = config::piped_descriptor(path))
        return config::load_stream(*pipe, path, environment);
    return config::load_file(path, environment);
}

}  // namespace

config::LoadResult load_configuration(const std::string& path) {
    auto loaded = load(path);
    // What an invalid configuration names may not be what is meant.
    if (loaded.ok()) {
        auto tokens = check_token_files(loaded.config);
        std::ranges::move(tokens, std::back_inserter(loaded.diagnostics));
    }
    return loaded;
}

void print_diagnostics(std::span<const config::Diagnostic> diagnostics) {
    const std::string text = config::format(diagnostics);
    std::fwrite(text.data(), 1, text.size(), stderr);
}

config::Diagnostic problem_with(const std::string& file, std::string message) {
    return {.severity = config::Severity::error,
            .file = file,
            .line = 0,
            .column = 0,
            .length = 0,
            .message = std::move(message),
            .source_line = {},
            .caret_offset = 0,
            .caret_length = 0,
            .related = {}};
}

std::string place_of(const config::Diagnostic& diagnostic) {
    if (diagnostic.line == 0) return diagnostic.file;
    return fmt::format("{}:{}:{}", diagnostic.file, diagnostic.line, diagnostic.column);
}

std::string count_diagnostics(std::span<const config::Diagnostic> diagnostics) {
    const auto of = [&](config::Severity severity) {
        return static_cast<std::size_t>(
            std::ranges::count(diagnostics, severity, &config::Diagnostic::severity));
    };
    const auto errors = of(config::Severity::error);
    const auto warnings = of(config::Severity::warning);
    std::string text;
    if (errors != 0) text = counted(errors, "error");
    if (warnings != 0) text += (text.empty() ? "" : ", ") + counted(warnings, "warning");
    return text;
}

}  // namespace penstock::app
