#include "health/discovery/discovery.hpp"

namespace penstock::health {
struct Discovery::Impl {
    std::vector<Discovered> list;
};
Discovery::Discovery(boost::asio::io_context&, const config::Upstream& settings, Options, Logger&)
    : impl_(std::make_unique<Impl>()) {
    for (const auto& b : settings.backends)
        if (b.host.empty())
            impl_->list.push_back(
                {b.name, b.address, "", b.weight, b.tier, b.max_connections, b.state});
}
Discovery::~Discovery() = default;
bool Discovery::is_dynamic() const noexcept { return false; }
void Discovery::start(OnChange) {}
void Discovery::stop() {}
const std::vector<Discovered>& Discovery::list() const noexcept { return impl_->list; }
bool Discovery::settled() const noexcept { return true; }
void Discovery::on_check(std::string_view, bool) {}
std::vector<Discovery::SourceStatus> Discovery::sources() const { return {}; }
}  // namespace penstock::health
