// Changing the configuration, and the program, while it runs.
#include "app/operations/service.hpp"

namespace penstock::app {

using boost::asio::awaitable;

awaitable<admin::Outcome<admin::Plan>> Service::plan(admin::PlanRequest) {
    co_return std::unexpected(admin::Refusal{.status = 503, .error = "no plans yet"});
}

awaitable<admin::Outcome<admin::Reloaded>> Service::reload(admin::ReloadRequest, std::string) {
    co_return std::unexpected(admin::Refusal{.status = 503, .error = "no reloads yet"});
}

awaitable<admin::Outcome<admin::Upgraded>> Service::upgrade(std::string) {
    co_return std::unexpected(admin::Refusal{.status = 503, .error = "no upgrades yet"});
}

}  // namespace penstock::app
