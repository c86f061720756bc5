#include "app/access_files.hpp"

#include <utility>

#include <boost/asio/post.hpp>
#include <fmt/format.h>

#include "app/limits.hpp"
#include "app/process.hpp"
#include "config/peer_file.hpp"

namespace penstock::app {

namespace {

std::string described(const config::Listener& listener) {
    if (listener.allow_file.empty()) return listener.deny_file;
    if (listener.deny_file.empty()) return listener.allow_file;
    return listener.allow_file + " and " + listener.deny_file;
}

std::string place_of(const config::Diagnostic& found) {
    if (found.line == 0) return found.file;
    return fmt::format("{}:{}:{}", found.file, found.line, found.column);
}

}  // namespace

std::expected<AccessFiles::Files, std::vector<config::Diagnostic>> AccessFiles::read(
    const config::Listener& listener) {
    Files files;
    for (const auto& [path, list] : {std::pair(&listener.allow_file, &files.allow),
                                     std::pair(&listener.deny_file, &files.deny)}) {
        if (path->empty()) continue;
        auto peers = config::read_peer_file(*path);
        if (!peers) return std::unexpected(std::move(peers.error()));
        *list = *std::move(peers);
    }
    return files;
}

std::expected<std::vector<AccessFiles::Files>, std::string> AccessFiles::load(
    const config::Config& config) {
    std::vector<Files> all;
    for (const auto& listener : config.listeners) {
        auto files = read(listener);
        if (!files) {
            const auto& first = files.error().front();
            return std::unexpected(
                fmt::format("listener {}: {}: {}", listener.name, place_of(first), first.message));
        }
        all.push_back(*std::move(files));
    }
    return all;
}

AccessFiles::AccessFiles(boost::asio::io_context& context, const config::Config& config,
                         std::vector<Files> loaded, Server& server, Logger& log)
    : context_(context), server_(server), log_(log), watch_(context, log) {
    for (std::size_t i = 0; i < config.listeners.size(); ++i) {
        const auto& settings = config.listeners[i];
        listeners_.push_back({&settings, std::move(loaded[i])});
        for (const auto* path : {&settings.allow_file, &settings.deny_file})
            if (!path->empty()) watch_.add(*path, [this, i] { reload(i); });
        // What changed since it was loaded was not watched yet.
        if (!settings.allow_file.empty() || !settings.deny_file.empty()) reload(i);
    }
}

AccessFiles::~AccessFiles() {
    if (builder_) builder_->join();
}

void AccessFiles::reload(std::size_t index) {
    if (!builder_) {
        builder_.emplace(1);
        boost::asio::post(*builder_, block_signals);
    }
    Listener& listener = listeners_[index];
    if (listener.building) {
        listener.changed_again = true;
        return;
    }
    listener.building = true;
    boost::asio::post(*builder_, [this, index, settings = listener.settings] {
        Built built{read(*settings), nullptr};
        if (built.files) built.policy = proxy::AccessPolicy::make(*settings, *built.files);
        boost::asio::post(context_, [this, index, done = std::move(built)]() mutable {
            on_built(index, std::move(done));
        });
    });
}

void AccessFiles::on_built(std::size_t index, Built built) {
    Listener& listener = listeners_[index];
    const config::Listener& settings = *listener.settings;
    listener.building = false;
    if (!built.files) {
        ++rejected_;
        for (const auto& found : built.files.error())
            log_.error("listener {}: {}: {}", settings.name, place_of(found), found.message);
        log_.error("listener {}: the lists of peers stay as they are", settings.name);
    } else if (*built.files != listener.in_force) {
        ++taken_;
        listener.in_force = *std::move(built.files);
        server_.set_access(index, std::move(built.policy));
        log_.info("listener {}: {}: {} networks to allow, {} to deny are in force", settings.name,
                  described(settings), listener.in_force.allow.prefixes.size(),
                  listener.in_force.deny.prefixes.size());
    }
    if (std::exchange(listener.changed_again, false)) reload(index);
}

std::string AccessFiles::summary() const {
    if (taken_ + rejected_ == 0) return {};
    return fmt::format("; lists of peers: {} changes taken, {} rejected", with_commas(taken_),
                       with_commas(rejected_));
}

}  // namespace penstock::app
