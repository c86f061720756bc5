#include "health/discovery/file_source.hpp"

#include <algorithm>
#include <utility>

#include <boost/asio/post.hpp>
#include <fmt/format.h>

#include "net/asio_words.hpp"
#include "net/run_and_post.hpp"

namespace penstock::health {

namespace asio = boost::asio;

namespace {

constexpr std::size_t most_logged = 5;

std::string key_of(const config::FileBackend& backend) {
    return fmt::format("{}:{} {} {} {} {}", backend.host, backend.host_port, backend.name,
                       backend.weight.value_or(~0U), backend.tier.value_or(~0U),
                       backend.max_connections.value_or(~0ULL));
}

}  // namespace

FileSource::FileSource(const SourceShared& shared, const config::BackendDefaults& defaults,
                       config::Discovery settings)
    : shared_(shared),
      defaults_(defaults),
      settings_(std::move(settings)),
      set_({.removal_delay = settings_.removal_delay,
            .on_empty = settings_.on_empty,
            .max_backends = settings_.max_backends}),
      watch_(shared.context, shared.log),
      timer_(shared.context) {
    status_.what = "file " + settings_.path;
    on_read(config::read_backend_file(settings_.path, settings_.max_backends));
}

void FileSource::start() {
    started_ = true;
    watch_.add(settings_.path, [this] { read_again(); });
    for (const auto& [key, host] : hosts_) host->start();
    read_again();  // what changed before it was watched
}

void FileSource::stop() {
    stopped_ = true;
    watch_.stop();
    timer_.cancel();
    for (const auto& [key, host] : hosts_) host->stop();
}

void FileSource::read_again() {
    if (std::exchange(reading_, true)) {
        read_again_ = true;
        return;
    }
    net::run_and_post(
        shared_.reader, shared_.context,
        [path = settings_.path, most = settings_.max_backends] {
            return config::read_backend_file(path, most);
        },
        [asker = std::weak_ptr(self_)](net::Made<Read> made) {
            if (!made)
                made = Read(std::unexpected(
                    std::vector{config::BackendFileError{.message = net::words_of(made.error())}}));
            if (const auto self = asker.lock()) self->on_read_again(*std::move(made));
        });
}

void FileSource::on_read_again(Read read) {
    reading_ = false;
    if (stopped_) return;
    on_read(std::move(read));
    if (std::exchange(read_again_, false)) read_again();
}

void FileSource::on_read(Read read) {
    if (!read) {
        ++status_.failures;
        const auto& errors = read.error();
        set_last_error(status_, errors.front().message, shared_);
        for (std::size_t i = 0; i < std::min(errors.size(), most_logged); ++i)
            shared_.log.error(
                "upstream {}: {}{}: {}", shared_.upstream, settings_.path,
                errors[i].line == 0 ? "" : fmt::format(":{}:{}", errors[i].line, errors[i].column),
                errors[i].message);
        return shared_.log.error("upstream {}: the backends of {} stay as they are",
                                 shared_.upstream, settings_.path);
    }
    ++status_.answers;
    status_.last_success = wall_now();
    std::vector<Discovered> found;
    for (const auto& backend : *read) {
        if (!backend.host.empty()) continue;
        if (shared_.filter.allows(backend.address))
            found.push_back(backend_of(backend));
        else
            ++status_.ignored;
    }
    const auto before = list();
    follow_hosts(*read);
    // A list of names alone is not an empty one.
    if (!found.empty() || hosts_.empty() || set_.size() != 0)
        set_.on_answer(std::move(found), SteadyClock().now());
    status_.backends = list().size();
    set_last_error(status_, "", shared_);
    if (started_ && list() != before)
        shared_.log.info("upstream {}: {}: {} backends", shared_.upstream, status_.what,
                         read->size());
    arm();
    if (started_) shared_.on_change();
}

Discovered FileSource::backend_of(const config::FileBackend& from) const {
    return {.name = from.name.empty() ? from.address.to_string() : from.name,
            .address = from.address,
            .host = {},
            .weight = from.weight.value_or(defaults_.weight),
            .tier = from.tier.value_or(defaults_.tier),
            .max_connections = from.max_connections.value_or(defaults_.max_connections),
            .origin = Origin::file};
}

void FileSource::follow_hosts(const std::vector<config::FileBackend>& backends) {
    std::map<std::string, std::unique_ptr<NameSource>> now;
    for (const auto& backend : backends) {
        if (backend.host.empty()) continue;
        auto key = key_of(backend);
        if (const auto known = hosts_.find(key); known != hosts_.end()) {
            now.emplace(std::move(key), std::move(known->second));
            hosts_.erase(known);
            continue;
        }
        config::Discovery lookup = settings_;
        lookup.type = config::DiscoveryType::dns;
        lookup.name = backend.host;
        lookup.port = backend.host_port;
        Discovered like = backend_of(backend);
        const auto name = backend.name.empty()
                              ? fmt::format("{}:{}", backend.host, backend.host_port)
                              : backend.name;
        like.name = name + '@';
        like.address = {};
        auto& source = now[key] = std::make_unique<NameSource>(
            shared_, NameSource::Spec{std::move(lookup), std::move(like), true});
        if (started_) source->start();
    }
    // Handlers of those that end may still be on their way: they go after those.
    for (auto& [key, gone] : hosts_) {
        gone->stop();
        asio::post(shared_.context,
                   [left = std::shared_ptr<NameSource>(std::move(gone))] { (void)left; });
    }
    hosts_ = std::move(now);
}

std::vector<Discovered> FileSource::list() const {
    auto all = set_.list();
    for (const auto& [key, host] : hosts_) std::ranges::move(host->list(), std::back_inserter(all));
    return all;
}

bool FileSource::settled() const {
    return std::ranges::all_of(hosts_, [](const auto& host) { return host.second->settled(); });
}

void FileSource::on_check(std::string_view name, bool up) {
    for (const auto& [key, host] : hosts_) host->on_check(name, up);
    if (set_.on_check(name, up)) shared_.on_change();
}

void FileSource::add_status(std::vector<SourceStatus>& to) const {
    to.push_back(status_);
    for (const auto& [key, host] : hosts_) host->add_status(to);
}

void FileSource::arm() {
    const TimePoint next = set_.next_timer();
    if (stopped_ || next == no_deadline) return;
    timer_.expires_at(net::to_asio(next));
    timer_.async_wait([this](const boost::system::error_code& error) {
        if (error || stopped_) return;
        set_.on_timer(SteadyClock().now());
        arm();
        shared_.on_change();
    });
}

}  // namespace penstock::health
