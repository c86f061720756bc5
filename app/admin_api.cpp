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

AdminApi::AdminApi(const Service::Parts& parts, const ConnectionLimit& limit)
    : parts_(parts),
      service_(parts, limit),
      api_(service_, parts.server.config().admin),
      server_(parts.context, api_, parts.log),
      tokens_(parts.context, parts.log) {}

AdminApi::~AdminApi() { stop(); }

std::expected<std::unique_ptr<AdminApi>, std::string> AdminApi::open(const Service::Parts& parts,
                                                                     const ConnectionLimit& limit,
                                                                     const TlsContexts& tls,
                                                                     Inherited inherited) {
    std::unique_ptr<AdminApi> api(new AdminApi(parts, limit));
    const auto& settings = parts.server.config().admin;
    auto doors = api->doors_of(settings, tls);
    if (!doors) return std::unexpected(doors.error());
    if (auto opened = api->open_new(*doors, settings, std::move(inherited)); !opened)
        return std::unexpected(opened.error());
    api->doors_ = *std::move(doors);
    return api;
}

std::expected<std::vector<admin::Door>, std::string> AdminApi::doors_of(
    const config::Admin& settings, const TlsContexts& tls) {
    std::vector<admin::Door> doors;
    for (const auto& listener : settings.listeners) {
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
            admin::Door door{listener, token, is_below_runtime(address)};
            if (!listener.tls.certificate.empty()) door.tls = tls.admin.at(name_of(listener));
            door.listener.bind = {*std::move(resolved)};
            doors.push_back(std::move(door));
        }
    }
    return doors;
}

// Those that cannot be opened, and need not be, are left out.
std::expected<void, std::string> AdminApi::open_new(std::vector<admin::Door>& doors,
                                                    const config::Admin& settings,
                                                    Inherited inherited) {
    std::vector<admin::Door> open;
    for (auto& door : doors) {
        const Endpoint& address = door.listener.bind.front();
        if (find(address) == nullptr) {
            const auto socket = inherited.find(address);
            auto opened = socket == inherited.end() ? server_.open(door, settings.allowed_hosts)
                                                    : server_.open(door, settings.allowed_hosts,
                                                                   std::move(socket->second));
            if (!opened) {
                if (!door.optional) {
                    server_.withdraw();
                    return std::unexpected(opened.error());
                }
                parts_.log.warn("{}; the program goes on without it", opened.error());
                continue;
            }
            parts_.log.info("admin API on {} ({})", opened->to_string(),
                            config::name_of(door.listener.access));
        }
        open.push_back(std::move(door));
    }
    doors = std::move(open);
    return {};
}

admin::Door* AdminApi::find(const Endpoint& address) {
    for (auto& door : doors_)
        if (door.listener.bind.front() == address) return &door;
    return nullptr;
}

void AdminApi::start() {
    server_.start();
    service_.start();
    watch_tokens();
}

std::expected<AdminApi::Change, std::string> AdminApi::prepare(const config::Admin& settings,
                                                               const TlsContexts& tls) {
    auto doors = doors_of(settings, tls);
    if (!doors) return std::unexpected(doors.error());
    for (const auto& door : *doors)
        if (auto usable = admin::Server::check(door); !usable)
            return std::unexpected(usable.error());
    if (auto opened = open_new(*doors, settings, {}); !opened)
        return std::unexpected(opened.error());
    return Change{*std::move(doors), settings};
}

void AdminApi::withdraw() { server_.withdraw(); }

void AdminApi::apply(Change change) {
    const auto before = std::exchange(doors_, std::move(change.doors));
    for (const auto& old : before) {
        const Endpoint& address = old.listener.bind.front();
        if (find(address) != nullptr) continue;
        server_.close(address);
        parts_.log.info("admin API no longer on {}", address.to_string());
    }
    for (const auto& door : doors_)
        if (auto changed = server_.configure(door, change.settings.allowed_hosts); !changed)
            parts_.log.error("admin: {}; it goes on as before", changed.error());
    api_.configure(std::move(change.settings));
    server_.start();
    watch_tokens();
}

void AdminApi::watch_tokens() {
    tokens_.clear();
    for (const auto& door : doors_) {
        if (door.token.empty()) continue;
        const auto take = [this, address = door.listener.bind.front()] { reload_token(address); };
        tokens_.add(door.listener.token_file, take);
        take();  // what changed since it was read was not watched yet
    }
}

void AdminApi::reload_token(const Endpoint& address) {
    auto* door = find(address);
    if (door == nullptr) return;
    auto token = read_token(door->listener.token_file);
    if (!token) return parts_.log.error("admin: {}; the old token goes on counting", token.error());
    if (*token == door->token) return;
    door->token = *token;
    server_.set_token(address, *std::move(token));
    parts_.log.info("admin: the token of {} has changed", address.to_string());
}

void AdminApi::set_tls(const std::string& name,
                       const std::shared_ptr<const net::tls::OwnServerContext>& context) {
    for (const auto& listener : parts_.server.config().admin.listeners)
        if (name_of(listener) == name)
            for (const auto& address : listener.bind) server_.set_tls(address, context);
}

void AdminApi::let_go() {
    tokens_.clear();
    server_.let_go();
}

void AdminApi::stop() {
    if (std::exchange(stopped_, true)) return;
    service_.stop();
    tokens_.stop();
    server_.stop();
    // Their coroutines refer to what is about to go. Streams say good-bye first; who does not take
    // it is cut off.
    constexpr int rounds = 200;
    constexpr int patient_rounds = 100;
    for (int i = 0; i < rounds && !server_.idle(); ++i) {
        if (i == patient_rounds) server_.close_all();
        parts_.context.restart();
        parts_.context.run_for(std::chrono::milliseconds(10));
    }
}

}  // namespace penstock::app
