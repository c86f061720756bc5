#include "app/reload/candidate.hpp"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <utility>

#include "app/capacity.hpp"
#include "app/diagnostics.hpp"
#include "app/token_file.hpp"
#include "balancer/moved_share.hpp"
#include "config/diff.hpp"
#include "config/load.hpp"
#include "health/backend_factory.hpp"

namespace penstock::app {

namespace {

config::LoadResult load(const admin::PlanRequest& request, const std::string& main_file) {
    const auto environment = config::process_environment();
    if (!request.text) return config::load_file(main_file, environment);
    const std::string& file = request.file.empty() ? main_file : request.file;
    return config::load_text(*request.text, file,
                             std::filesystem::path(file).parent_path().string(), environment);
}

// The set of listed backends with an address: what is found elsewhere is not known here.
std::shared_ptr<const balancer::BackendSet> listed_set(const config::Upstream& upstream,
                                                       std::uint64_t hash_seed) {
    std::vector<health::Placed> backends;
    for (const auto& backend : upstream.backends) {
        if (!backend.host.empty()) continue;
        const health::Discovered found{backend.name,   backend.address, {},
                                       backend.weight, backend.tier,    backend.max_connections,
                                       backend.state};
        backends.push_back({health::make_backend(upstream, found, 1), found});
    }
    return health::make_backend_set(upstream, backends, hash_seed);
}

std::map<std::string, double> moved_keys(const config::Config& running,
                                         const config::Config& wanted) {
    std::map<std::string, double> moved;
    const bool other_seed = running.process.hash_seed != wanted.process.hash_seed;
    for (const auto& upstream : wanted.upstreams) {
        const bool hashes = upstream.balance == config::Balance::maglev ||
                            upstream.balance == config::Balance::ring_hash;
        const auto before =
            std::ranges::find(running.upstreams, upstream.name, &config::Upstream::name);
        if (!hashes || before == running.upstreams.end() || before->balance != upstream.balance ||
            (before->backends == upstream.backends && !other_seed))
            continue;
        const double share = balancer::moved_share(*listed_set(*before, running.process.hash_seed),
                                                   *listed_set(upstream, wanted.process.hash_seed));
        if (share > 0) moved.emplace(upstream.name, share);
    }
    return moved;
}

}  // namespace

Candidate read_candidate(const admin::PlanRequest& request, const std::string& main_file,
                         const ConfigPtr& running, TicketKeyBook& tickets,
                         const LoadedTls& in_force, const sandbox::Sandbox& sandbox) {
    auto loaded = load(request, main_file);
    const std::string file = request.file.empty() ? main_file : request.file;
    if (loaded.ok())
        std::ranges::move(check_token_files(loaded.config), std::back_inserter(loaded.diagnostics));
    Candidate candidate{.problems = std::move(loaded.diagnostics),
                        .files = std::move(loaded.files),
                        .patterns = std::move(loaded.include_patterns)};
    const auto fail = [&](std::string message) {
        candidate.problems.push_back(problem_with(file, std::move(message)));
    };
    // First: what lies beyond cannot be read, and nobody would know why. A file that could not be
    // read may be the reason why the configuration is not valid.
    const bool good = candidate.valid();
    for (auto& sentence : sandbox.beyond(loaded.config, candidate.files, candidate.patterns))
        fail(std::move(sentence));
    candidate.beyond_sandbox = good && !candidate.valid();
    if (!candidate.valid()) return candidate;
    candidate.wanted = std::make_shared<const config::Config>(std::move(loaded.config));
    candidate.effective =
        std::make_shared<const config::Config>(config::with_running(*candidate.wanted, *running));
    if (auto capacity = plan_capacity(*candidate.effective))
        candidate.limit = std::move(capacity->limit);
    else
        fail(capacity.error());
    if (auto access = AccessFiles::load(*candidate.effective))
        candidate.access = *std::move(access);
    else
        fail(access.error());
    if (auto tls = load_tls(*candidate.effective, tickets, in_force))
        candidate.tls = *std::move(tls);
    else
        for (auto& error : tls.error()) fail(std::move(error));
    if (auto inputs = Monitors::read_inputs(*candidate.effective, candidate.tls.contexts()))
        candidate.inputs = *std::move(inputs);
    else
        fail(inputs.error());
    for (auto& warning : candidate.tls.warnings()) {
        candidate.problems.push_back(problem_with(file, std::move(warning)));
        candidate.problems.back().severity = config::Severity::warning;
    }
    if (candidate.valid()) candidate.moved = moved_keys(*running, *candidate.effective);
    return candidate;
}

}  // namespace penstock::app
