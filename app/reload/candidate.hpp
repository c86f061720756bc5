#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "admin/plan.hpp"
#include "app/access_files.hpp"
#include "app/limits.hpp"
#include "app/monitors.hpp"
#include "app/sandbox/sandbox.hpp"
#include "app/server.hpp"
#include "app/tls/material.hpp"
#include "config/diagnostic.hpp"

namespace penstock::app {

/// A configuration that has been read, with all that its files hold: what a plan is made of, and
/// what a reload puts in force. Nothing of the running proxy was touched.
struct Candidate {
    std::vector<config::Diagnostic> problems{};  // errors: the rest is not complete
    bool beyond_sandbox = false;          // as in admin::Plan
    std::vector<std::string> files{};     // that were read
    std::vector<std::string> patterns{};  // of included files
    ConfigPtr wanted{};                // as written
    ConfigPtr effective{};             // with the running values of what needs a restart
    std::optional<ConnectionLimit> limit{};
    Monitors::Inputs inputs{};  // of checks
    AccessFiles::Loaded access{};
    TlsMaterial tls{};
    std::map<std::string, double> moved{};  // share of keys, by upstream, where some move

    [[nodiscard]] bool valid() const { return !config::has_errors(problems); }
};

/// Any thread; reads files, and takes as long as that takes. `main_file`: the configuration that
/// the process runs by; "" = none. Never throws for what a file contains.
[[nodiscard]] Candidate read_candidate(const admin::PlanRequest& request,
                                       const std::string& main_file, const ConfigPtr& running,
                                       TicketKeyBook& tickets, const LoadedTls& in_force,
                                       const sandbox::Sandbox& sandbox);

}  // namespace penstock::app
