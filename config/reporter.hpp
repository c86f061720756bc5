#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "config/diagnostic.hpp"
#include "config/source.hpp"

namespace penstock::config {

/// Collects findings while a configuration is read. Owns the sources, because a finding quotes
/// them.
class Reporter {
public:
    /// The index that regions of this source carry.
    std::uint32_t add_source(Source source);
    [[nodiscard]] const Source& source(std::uint32_t file) const { return sources_.at(file); }

    void error(Region where, std::string message);
    void warning(Region where, std::string message);
    /// A finding about two places: the second one is shown as a note.
    void error(Region where, std::string message, Region other, std::string note);
    void warning(Region where, std::string message, Region other, std::string note);

    [[nodiscard]] std::size_t errors() const noexcept { return errors_; }
    /// All findings, ordered by file and position. Beyond `most_kept` they are only counted, so
    /// that a large wrong file cannot fill the memory.
    [[nodiscard]] std::vector<Diagnostic> take();

    static constexpr std::size_t most_kept = 1000;

private:
    struct Finding {
        Region where;
        std::size_t number;  // in the order of reporting, which decides at equal places
        Diagnostic diagnostic;
    };
    [[nodiscard]] Diagnostic describe(Severity severity, Region where, std::string message) const;
    void add(Severity severity, Region where, std::string message);
    void add(Severity severity, Region where, std::string message, Region other, std::string note);

    std::vector<Source> sources_;
    std::vector<Finding> findings_;
    std::size_t errors_ = 0;
    std::size_t dropped_ = 0;
};

}  // namespace penstock::config
