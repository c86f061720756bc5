#include "app/operations/prospect.hpp"

#include "balancer/selector.hpp"
#include "proxy/upstream.hpp"

namespace penstock::app {

Prospect prospect_of(const health::UpstreamMonitor& monitor, const config::Upstream& settings,
                     Role asked, std::optional<std::uint64_t> key, TimePoint now) {
    const auto snapshot = monitor.snapshot();
    balancer::Selector selector(snapshot->set, proxy::selector_options(settings), 0);
    selector.adopt(*snapshot, asked);
    const balancer::Bitmap nobody;
    const auto outlook = selector.look({.tried = nobody, .key = key, .now = now});
    Prospect prospect;
    for (std::uint32_t i = 0; i < snapshot->set->size(); ++i) {
        const auto& backend = snapshot->set->share(i);
        if (outlook.candidates.test(i)) prospect.candidates.emplace(backend->name(), backend);
        if (selector.available(i)) prospect.available.insert(backend->name());
        if (selector.forced(i)) prospect.forced.insert(backend->name());
        if (outlook.choice == i) prospect.choice = backend->name();
    }
    return prospect;
}

}  // namespace penstock::app
