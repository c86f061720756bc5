#include "health/discovery/discovery.hpp"

#include <algorithm>
#include <unordered_set>
#include <utility>

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

struct Discovery::Impl {
    Impl(boost::asio::io_context& context, boost::asio::thread_pool& reader,
         const config::Upstream& its_settings, Discovery::Options options, Logger& log)
        : settings(its_settings),
          filter(std::move(options.own_addresses)),
          shared{context, reader,       settings.name,          filter,
                 log,     options.seed, [this] { look_soon(); }} {
        for (const auto& backend : settings.backends) add(backend);
        for (const auto& discovery : settings.discovery) {
            dynamic = true;
            if (discovery.type == config::DiscoveryType::file)
                sources.push_back(std::make_unique<FileSource>(shared, settings, discovery));
            else
                sources.push_back(std::make_unique<NameSource>(
                    shared, spec_of(discovery, settings.backend_defaults)));
        }
        list = collect();
    }

    void add(const config::Backend& backend) {
        if (backend.host.empty()) {
            sources.push_back(std::make_unique<ListedSource>(backend));
        } else {
            dynamic = true;
            sources.push_back(std::make_unique<NameSource>(shared, spec_of(backend)));
        }
    }

    // Of two backends with one name the first counts.
    std::vector<Discovered> collect() {
        std::vector<Discovered> all;
        std::unordered_set<std::string> names;
        for (const auto& source : sources)
            for (auto& backend : source->list()) {
                if (names.insert(backend.name).second)
                    all.push_back(std::move(backend));
                else if (clashes.insert(backend.name).second)
                    shared.log.warn(
                        "upstream {}: backend {} comes from two sources; the first "
                        "counts",
                        settings.name, backend.name);
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

    [[nodiscard]] bool settled() const {
        return std::ranges::all_of(sources, [](const auto& source) { return source->settled(); });
    }

    const config::Upstream& settings;
    AddressFilter filter;
    SourceShared shared;
    std::vector<std::unique_ptr<Source>> sources;
    std::vector<Discovered> list;
    std::unordered_set<std::string> clashes;
    OnChange on_change;
    bool dynamic = false;
    bool looking = false;
    bool told_settled = false;
    bool stopped = false;
};

Discovery::Discovery(boost::asio::io_context& context, boost::asio::thread_pool& reader,
                     const config::Upstream& settings, Options options, Logger& log)
    : impl_(std::make_unique<Impl>(context, reader, settings, std::move(options), log)) {}

Discovery::~Discovery() = default;

bool Discovery::is_dynamic() const noexcept { return impl_->dynamic; }

void Discovery::start(OnChange on_change) {
    impl_->on_change = std::move(on_change);
    for (const auto& source : impl_->sources) source->start();
}

void Discovery::stop() {
    impl_->stopped = true;
    for (const auto& source : impl_->sources) source->stop();
}

const std::vector<Discovered>& Discovery::list() const noexcept { return impl_->list; }

bool Discovery::settled() const noexcept { return impl_->settled(); }

void Discovery::on_check(std::string_view name, bool up) {
    for (const auto& source : impl_->sources) source->on_check(name, up);
}

std::vector<SourceStatus> Discovery::sources() const {
    std::vector<SourceStatus> all;
    for (const auto& source : impl_->sources) source->add_status(all);
    return all;
}

}  // namespace penstock::health
