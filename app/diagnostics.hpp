#pragma once

#include <span>

#include "config/load.hpp"

namespace penstock::app {

/// Loads `path`, standard input for "-", or a pipe named `/dev/fd/N`, and looks into the token
/// files that it names.
[[nodiscard]] config::LoadResult load_configuration(const std::string& path);

/// Prints errors and warnings to standard error as the command line's contract shows.
void print_diagnostics(std::span<const config::Diagnostic> diagnostics);

/// An error about the whole of a file.
[[nodiscard]] config::Diagnostic problem_with(const std::string& file, std::string message);

/// `file:line:column`, or the file where it is about the whole of it.
[[nodiscard]] std::string place_of(const config::Diagnostic& diagnostic);

/// `1 error, 2 warnings`; empty if there is neither.
[[nodiscard]] std::string count_diagnostics(std::span<const config::Diagnostic> diagnostics);

}  // namespace penstock::app
