#include "balancer/snapshot.hpp"

namespace penstock::balancer {

Snapshot::Snapshot(std::shared_ptr<const BackendSet> of) : set(std::move(of)) {
    for (View& view : views) view = {Bitmap(set->size()), Bitmap(set->size())};
    auto& anybody = views[std::to_underlying(Role::none)].available;
    for (std::size_t i = 0; i < set->size(); ++i)
        if (set->usable_weight(i) != 0) anybody.set(i);
}

}  // namespace penstock::balancer
