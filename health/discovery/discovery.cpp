#include "health/discovery/discovery.hpp"

#include <algorithm>
#include <unordered_set>
#include <utility>
#include <variant>

#include <boost/asio/post.hpp>

#include "health/discovery/file_source.hpp"
#include "health/discovery/name_source.hpp"

namespace penstock::health {

namespace {

/// A backend whose address the configuration has.
class ListedSource final : public Source {
public:
    explicit ListedSource(const config::Backend& backend)
        : backend_{backend.name, backend.address,         {},           backend.weight,
                   backend.tier, backend.max_connections, backend.state} {}

    void start() override {}
    void stop() override {}
    [[nodiscard]] std::vector<Discovered> list() const override { return {backend_}; }
    [[nodiscard]] bool settled() const override { return true; }
    void on_check(std::string_view, bool) override {}
    void add_status(std::vector<SourceStatus>&) const override {}

private:
    Discovered backend_;
};

NameSource::Spec spec_of(const config::Backend& backend) {
    NameSource::Spec spec{.lookup = {}, .like = {}, .is_listed = true};
    spec.lookup.name = backend.host;
    spec.lookup.port = backend.host_port;
    spec.like = {backend.name + '@',      {},           {}, backend.weight, backend.tier,
                 backend.max_connections, backend.state};
    return spec;
}

NameSource::Spec spec_of(const config::Discovery& discovery,
                         const config::BackendDefaults& defaults) {
    return {.lookup = discovery,
            .like = {{}, {}, {}, defaults.weight, defaults.tier, defaults.max_connections, {}}};
}

}  // namespace

/// One source, and what it was made from.
struct Discovery::Entry {
    std::variant<config::Backend, config::Discovery> from;
    config::BackendDefaults defaults;  // of a discovery
    std::unique_ptr<Source> source;
    /// The one that this one replaces: it counts until the new one has had an answer.
    std::unique_ptr<Source> before{};

    [[nodiscard]] bool same(const Entry& other) const {
        return from == other.from && (from.index() == 0 || defaults == other.defaults);
    }
    /// They look in the same place, perhaps in another way.
    [[nodiscard]] bool alike(const Entry& other) const {
        const auto* mine = std::get_if<config::Discovery>(&from);
        const auto* theirs = std::get_if<config::Discovery>(&other.from);
        if (mine != nullptr && theirs != nullptr)
            return mine->type == theirs->type && mine->name == theirs->name &&
                   mine->path == theirs->path;
        const auto* backend = std::get_if<config::Backend>(&from);
        const auto* old = std::get_if<config::Backend>(&other.from);
        return backend != nullptr && old != nullptr && !backend->host.empty() &&
               backend->host == old->host && backend->name == old->name;
    }
    [[nodiscard]] bool answered() const {
        std::vector<SourceStatus> status;
        source->add_status(status);
        return std::ranges::all_of(status, [](const SourceStatus& s) { return s.answers > 0; });
    }
    [[nodiscard]] std::vector<Discovered> list() {
        if (before && answered()) {
            end(std::move(before));
        }
        return before ? before->list() : source->list();
    }
    std::function<void(std::unique_ptr<Source>)> end;
};

struct Discovery::Impl {
    Impl(boost::asio::io_context& context, boost::asio::thread_pool& reader,
         const config::Upstream& upstream, Discovery::Options options, Logger& log)
        : name(upstream.name),
          filter(std::move(options.own_addresses)),
          shared{context,
                 reader,
                 name,
                 filter,
                 log,
                 options.seed,
                 [this] { look_soon(); },
                 [this](const SourceStatus& status) { tell_soon(status); }} {
        entries = make_entries(upstream);
        for (Entry& entry : entries) entry.source = make(entry);
        list = collect();
    }

    [[nodiscard]] std::vector<Entry> make_entries(const config::Upstream& upstream) {
        std::vector<Entry> all;
        const auto end_soon = [this](std::unique_ptr<Source> source) { end(std::move(source)); };
        for (const auto& backend : upstream.backends)
            all.push_back({.from = backend, .defaults = {}, .source = {}, .end = end_soon});
        for (const auto& discovery : upstream.discovery)
            all.push_back({.from = discovery,
                           .defaults = upstream.backend_defaults,
                           .source = {},
                           .end = end_soon});
        dynamic = !upstream.discovery.empty() ||
                  std::ranges::any_of(upstream.backends, [](const config::Backend& backend) {
                      return !backend.host.empty();
                  });
        return all;
    }

    [[nodiscard]] std::unique_ptr<Source> make(const Entry& entry) {
        if (const auto* backend = std::get_if<config::Backend>(&entry.from)) {
            if (backend->host.empty()) return std::make_unique<ListedSource>(*backend);
            return std::make_unique<NameSource>(shared, spec_of(*backend));
        }
        const auto& discovery = std::get<config::Discovery>(entry.from);
        if (discovery.type == config::DiscoveryType::file)
            return std::make_unique<FileSource>(shared, entry.defaults, discovery);
        return std::make_unique<NameSource>(shared, spec_of(discovery, entry.defaults));
    }

    // Handlers of one that ends may still be on their way: it goes after those.
    void end(std::unique_ptr<Source> source) const {
        source->stop();
        boost::asio::post(shared.context,
                          [left = std::shared_ptr<Source>(std::move(source))] { (void)left; });
    }

    void configure(const config::Upstream& upstream, std::vector<Endpoint> own_addresses) {
        filter = AddressFilter(std::move(own_addresses));
        std::vector<Entry> before = std::exchange(entries, make_entries(upstream));
        for (Entry& entry : entries) {
            const auto same = std::ranges::find_if(
                before, [&](const Entry& old) { return old.source && old.same(entry); });
            if (same != before.end()) {
                entry.source = std::move(same->source);
                entry.before = std::move(same->before);
                continue;
            }
            entry.source = make(entry);
            const auto alike = std::ranges::find_if(
                before, [&](const Entry& old) { return old.source && old.alike(entry); });
            if (alike != before.end())
                entry.before = std::move(alike->before ? alike->before : alike->source);
            if (started) entry.source->start();
        }
        for (Entry& old : before)
            for (auto* source : {&old.source, &old.before})
                if (*source) end(std::move(*source));
        list = collect();
        told_settled = settled();
    }

    // Of two backends with one name the first counts.
    std::vector<Discovered> collect() {
        std::vector<Discovered> all;
        std::unordered_set<std::string> names;
        for (Entry& entry : entries)
            for (auto& backend : entry.list()) {
                if (names.insert(backend.name).second)
                    all.push_back(std::move(backend));
                else if (clashes.insert(backend.name).second)
                    shared.log.warn(
                        "upstream {}: backend {} comes from two sources; the first "
                        "counts",
                        name, backend.name);
            }
        return all;
    }

    // Several sources may change at once; and nobody is called from within a call of theirs.
    void look_soon() {
        if (std::exchange(looking, true)) return;
        boost::asio::post(shared.context, [this] {
            looking = false;
            if (stopped) return;
            auto now = collect();
            const bool changed = now != list;
            list = std::move(now);
            const bool just_settled = !told_settled && settled();
            told_settled = told_settled || just_settled;
            if (changed || just_settled) on_change(list);
        });
    }

    // Before the start it is not sure to live until then: start() makes up for it.
    void tell_soon(const SourceStatus& status) {
        if (!started) return;
        boost::asio::post(shared.context, [this, status] {
            if (!stopped && on_turn) on_turn(status);
        });
    }

    [[nodiscard]] bool settled() const {
        return std::ranges::all_of(entries,
                                   [](const Entry& entry) { return entry.source->settled(); });
    }

    const std::string name;
    AddressFilter filter;
    SourceShared shared;
    std::vector<Entry> entries;
    std::vector<Discovered> list;
    std::unordered_set<std::string> clashes;
    OnChange on_change;
    OnTurn on_turn;
    bool dynamic = false;
    bool started = false;
    bool looking = false;
    bool told_settled = false;
    bool stopped = false;
};

Discovery::Discovery(boost::asio::io_context& context, boost::asio::thread_pool& reader,
                     const config::Upstream& settings, Options options, Logger& log)
    : impl_(std::make_unique<Impl>(context, reader, settings, std::move(options), log)) {}

Discovery::~Discovery() = default;

bool Discovery::is_dynamic() const noexcept { return impl_->dynamic; }

void Discovery::start(OnChange on_change, OnTurn on_turn) {
    impl_->on_change = std::move(on_change);
    impl_->on_turn = std::move(on_turn);
    impl_->started = true;
    for (const auto& status : sources())
        if (!status.last_error.empty()) impl_->tell_soon(status);
    for (const auto& entry : impl_->entries) entry.source->start();
}

void Discovery::configure(const config::Upstream& settings, std::vector<Endpoint> own_addresses) {
    impl_->configure(settings, std::move(own_addresses));
}

void Discovery::stop() {
    impl_->stopped = true;
    for (const auto& entry : impl_->entries) {
        entry.source->stop();
        if (entry.before) entry.before->stop();
    }
}

const std::vector<Discovered>& Discovery::list() const noexcept { return impl_->list; }

bool Discovery::settled() const noexcept { return impl_->settled(); }

void Discovery::on_check(std::string_view name, bool up) {
    for (const auto& entry : impl_->entries)
        (entry.before ? entry.before : entry.source)->on_check(name, up);
}

std::vector<SourceStatus> Discovery::sources() const {
    std::vector<SourceStatus> all;
    for (const auto& entry : impl_->entries) entry.source->add_status(all);
    return all;
}

}  // namespace penstock::health
