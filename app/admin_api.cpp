#include "app/admin_api.hpp"

#include <utility>

#include <fmt/format.h>

#include "app/runtime_directory.hpp"
#include "app/token_file.hpp"
#include "config/interpolate.hpp"
#include "config/names.hpp"

namespace penstock::app {

namespace {

// The address with the runtime directory in it; the error says why there is none.
std::expected<Endpoint, std::string> resolve(const Endpoint& address) {
    if (!is_below_runtime(address)) return address;
    const auto directory =
        choose_runtime_directory(config::process_environment(), make_runtime_directory);
    if (!directory) return std::unexpected(directory.error());
    return in_runtime_directory(address, *directory);
}

}  // namespace

AdminApi::AdminApi(const Service::Parts& parts)
    : parts_(parts),
      service_(parts),
      api_(service_, parts.config.admin),
      tokens_(parts.context, parts.log) {}

AdminApi::~AdminApi() { stop(); }

std::expected<std::unique_ptr<AdminApi>, std::string> AdminApi::open(const Service::Parts& parts) {
    std::unique_ptr<AdminApi> api(new AdminApi(parts));
    if (auto opened = api->open_doors(); !opened) return std::unexpected(opened.error());
    return api;
}

std::expected<void, std::string> AdminApi::open_doors() {
    std::vector<bool> optional;
    for (const auto& listener : parts_.config.admin.listeners) {
        std::string token;
        if (!listener.token_file.empty()) {
            auto read = read_token(listener.token_file);
            if (!read) return std::unexpected(read.error());
            token = *std::move(read);
        }
        for (const auto& address : listener.bind) {
            auto resolved = resolve(address);
            if (!resolved) {
                parts_.log.warn("admin: no socket: {}", resolved.error());
                continue;
            }
            admin::Door door{listener, token};
            door.listener.bind = {*std::move(resolved)};
            doors_.push_back(std::move(door));
            optional.push_back(is_below_runtime(address));
        }
    }
    server_ = std::make_unique<admin::Server>(parts_.context, api_, parts_.log);
    for (std::size_t i = 0; i < doors_.size(); ++i) {
        auto opened = server_->open(doors_[i], parts_.config.admin.allowed_hosts);
        if (opened) {
            parts_.log.info("admin API on {} ({})", opened->to_string(),
                            config::name_of(doors_[i].listener.access));
            continue;
        }
        if (!optional[i]) return std::unexpected(opened.error());
        parts_.log.warn("{}; the program goes on without it", opened.error());
    }
    return {};
}

void AdminApi::start() {
    server_->start();
    service_.start();
    for (std::size_t i = 0; i < doors_.size(); ++i)
        if (!doors_[i].token.empty())
            tokens_.add(doors_[i].listener.token_file, [this, i] { reload_token(i); });
}

void AdminApi::reload_token(std::size_t door) {
    auto token = read_token(doors_[door].listener.token_file);
    if (!token) return parts_.log.error("admin: {}; the old token goes on counting", token.error());
    server_->set_token(doors_[door].listener.bind.front(), *std::move(token));
    parts_.log.info("admin: the token of {} has changed",
                    doors_[door].listener.bind.front().to_string());
}

void AdminApi::stop() {
    if (std::exchange(stopped_, true)) return;
    service_.stop();
    tokens_.stop();
    if (!server_) return;
    server_->stop();
    // Their coroutines refer to what is about to go. Streams say good-bye first; who does not take
    // it is cut off.
    constexpr int rounds = 200;
    constexpr int patient_rounds = 100;
    for (int i = 0; i < rounds && !server_->idle(); ++i) {
        if (i == patient_rounds) server_->close_all();
        parts_.context.restart();
        parts_.context.run_for(std::chrono::milliseconds(10));
    }
}

}  // namespace penstock::app
