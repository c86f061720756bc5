#include "app/tls/tls_files.hpp"

#include <algorithm>
#include <utility>

#include <boost/asio/post.hpp>
#include <fmt/format.h>

#include "app/with_commas.hpp"
#include "net/run_and_post.hpp"

namespace penstock::app {

namespace {

constexpr unsigned hours_of_a_day = 24;

constexpr std::string_view kind_of(const config::Listener&) { return "listener"; }
constexpr std::string_view kind_of(const config::Upstream&) { return "upstream"; }
constexpr std::string_view kind_of(const AdminDoor&) { return "admin listener"; }

// Wiped by whoever takes them.
std::vector<net::tls::TicketKey> keys_in(const ServerMaterial& material) {
    return material.ticket_keys ? *material.ticket_keys : std::vector<net::tls::TicketKey>();
}

// A list of revocations that has expired, if there is one.
std::optional<std::string> expired_list(const auto& context) {
    if constexpr (requires { context.revocations(); })
        for (const auto& list : context.revocations())
            if (list.next_update <= wall_now()) return expiry_warning(list, wall_now());
    return std::nullopt;
}

}  // namespace

TlsFiles::TlsFiles(boost::asio::io_context& context, Server& server, TicketKeyBook& tickets,
                   Logger& log)
    : context_(context),
      server_(server),
      tickets_(tickets),
      log_(log),
      watch_(context, log),
      hour_(context) {}

TlsFiles::~TlsFiles() { join(); }

void TlsFiles::stop() {
    stopped_ = true;
    watch_.stop();
    hour_.cancel();
}

void TlsFiles::prepare(const config::Config& config) {
    const auto has_tls = [](const auto& settings) { return settings.tls.has_value(); };
    const bool any = std::ranges::any_of(config.listeners, has_tls) ||
                     std::ranges::any_of(config.upstreams, has_tls) ||
                     !admin_doors(config.admin).empty();
    if (any && !builder_) builder_.emplace();
}

void TlsFiles::follow(const ConfigPtr& config, TlsMaterial loaded) {
    prepare(*config);
    listeners_.clear();
    upstreams_.clear();
    admin_.clear();
    const bool strict = config->process.strict_permissions;
    for (const auto& listener : config->listeners) {
        if (!listener.tls) continue;
        auto& owner = listeners_[listener.name];
        owner = {.settings = std::make_shared<const config::Listener>(listener),
                 .in_force = std::move(loaded.listeners.at(listener.name)),
                 .strict = strict};
        const auto keys = tickets_.of(listener.name);
        keys->use_shared(keys_in(owner.in_force));
        keys->rotate_if_due(SteadyClock().now());  // from now on their age is known
    }
    for (const auto& upstream : config->upstreams) {
        if (!upstream.tls) continue;
        upstreams_[upstream.name] = {.settings = std::make_shared<const config::Upstream>(upstream),
                                     .in_force = std::move(loaded.upstreams.at(upstream.name)),
                                     .strict = strict};
    }
    for (const auto& door : admin_doors(config->admin))
        admin_[door.name] = {.settings = std::make_shared<const AdminDoor>(door),
                             .in_force = std::move(loaded.admin.at(door.name)),
                             .strict = strict};
    if (builder_ && !std::exchange(counts_hours_, true)) wait_an_hour();
    watch_all();
    look_again();  // what changed since it was loaded was not watched yet
}

LoadedTls TlsFiles::in_force() const {
    LoadedTls all;
    const auto add = [](auto& to, const auto& owners) {
        for (const auto& [name, owner] : owners)
            to[name] = {owner.settings, owner.in_force, owner.strict};
    };
    add(all.listeners, listeners_);
    add(all.upstreams, upstreams_);
    add(all.admin, admin_);
    return all;
}

void TlsFiles::keep_unchanged(TlsMaterial& loaded, const config::Config& config) const {
    for (const auto& listener : config.listeners) {
        const auto known = listeners_.find(listener.name);
        const auto next = loaded.listeners.find(listener.name);
        if (known == listeners_.end() || next == loaded.listeners.end()) continue;
        if (same_tls(*known->second.settings, listener) &&
            known->second.in_force.digest == next->second.digest)
            next->second = known->second.in_force;
    }
    for (const auto& upstream : config.upstreams) {
        const auto known = upstreams_.find(upstream.name);
        const auto next = loaded.upstreams.find(upstream.name);
        if (known == upstreams_.end() || next == loaded.upstreams.end()) continue;
        if (same_tls(*known->second.settings, upstream) &&
            known->second.in_force.digest == next->second.digest)
            next->second = known->second.in_force;
    }
}

void TlsFiles::look_again() {
    for (const auto& [name, owner] : listeners_) reload(listeners_, name);
    for (const auto& [name, owner] : upstreams_) reload(upstreams_, name);
    for (const auto& [name, owner] : admin_) reload(admin_, name);
}

void TlsFiles::watch_all() {
    watch_.clear();
    watch(listeners_);
    watch(upstreams_);
    watch(admin_);
}

template <typename Owners>
void TlsFiles::watch(Owners& owners) {
    for (const auto& [name, owner] : owners) {
        const TlsPaths paths = tls_paths(*owner.settings);
        const auto changed = [this, &owners, of = name] { reload(owners, of); };
        for (const auto& path : paths.files) watch_.add(path, changed);
        // Files that come are to be watched as well; not from within this handler.
        for (const auto& pattern : paths.patterns)
            watch_.add_pattern(pattern, [this] {
                boost::asio::post(context_, [this] {
                    if (stopped_) return;
                    watch_all();
                    look_again();
                });
            });
    }
}

std::expected<ServerMaterial, std::string> TlsFiles::load(const config::Listener& listener,
                                                          bool strict, TicketKeyBook& tickets) {
    return load_server(listener, strict, tickets);
}

std::expected<ClientMaterial, std::string> TlsFiles::load(const config::Upstream& upstream,
                                                          bool strict, TicketKeyBook&) {
    return load_client(upstream, strict);
}

std::expected<AdminMaterial, std::string> TlsFiles::load(const AdminDoor& door, bool strict,
                                                         TicketKeyBook&) {
    return load_admin(door, strict);
}

template <typename Owners>
void TlsFiles::reload(Owners& owners, const std::string& name) {
    auto& owner = owners.at(name);
    if (std::exchange(owner.building, true)) {
        owner.changed_again = true;
        return;
    }
    using Loaded = decltype(load(*owner.settings, owner.strict, tickets_));
    const auto build = [this, settings = owner.settings, strict = owner.strict,
                        known = owner.in_force.digest] {
        Loaded built;
        // Nothing is read twice that need not be: a password may come through a FIFO.
        built->digest = known;
        if (digest_of(tls_paths(*settings)) != known) built = load(*settings, strict, tickets_);
        return built;
    };
    net::run_and_post(builder_->pool(), context_, build,
                      [this, &owners, settings = owner.settings](net::Made<Loaded> made) {
                          if (!made) made = Loaded(std::unexpected(net::words_of(made.error())));
                          on_built(owners, settings, *std::move(made));
                      });
}

template <typename Owners, typename Material>
void TlsFiles::on_built(Owners& owners, const typename Owners::mapped_type::SettingsPtr& settings,
                        std::expected<Material, std::string> built) {
    const std::string& name = settings->name;
    const auto found = owners.find(name);
    // The configuration may have changed meanwhile.
    if (stopped_ || found == owners.end() || found->second.settings != settings) return;
    auto& owner = found->second;
    owner.building = false;
    const auto what = fmt::format("{} {}", kind_of(*settings), name);
    // With such a list nobody would come in any more.
    if (built && built->digest != owner.in_force.digest && !expired_list(*owner.in_force.context))
        if (auto expired = expired_list(*built->context)) built = std::unexpected(*expired);
    if (!built) {
        ++rejected_;
        const auto text = fmt::format("{}: {}; the certificates and keys of before stay in force",
                                      what, built.error());
        log_.error("{}", text);
        if (on_change_) on_change_(text);
    } else if (built->digest != owner.in_force.digest) {
        ++taken_;
        owner.in_force = *std::move(built);
        put_in_force(name, owner.in_force);
        const auto text = fmt::format("{}: changed certificates and keys are in force", what);
        log_.info("{}", text);
        for (const auto& warning : owner.in_force.warnings) log_.warn("{}: {}", what, warning);
        if (on_change_) on_change_(text);
    }
    if (std::exchange(owner.changed_again, false)) reload(owners, name);
}

void TlsFiles::put_in_force(const std::string& name, const ServerMaterial& material) {
    tickets_.of(name)->use_shared(keys_in(material));
    server_.set_tls(name, material.context);
}

void TlsFiles::put_in_force(const std::string& name, const ClientMaterial& material) {
    server_.set_upstream_tls(name, material.context);
    if (on_upstream_) on_upstream_(name, material.context);
}

void TlsFiles::put_in_force(const std::string& name, const AdminMaterial& material) {
    if (on_admin_) on_admin_(name, material.context);
}

void TlsFiles::wait_an_hour() {
    hour_.expires_after(std::chrono::hours(1));
    hour_.async_wait([this](const boost::system::error_code& error) {
        if (error || stopped_) return;
        for (const auto& [name, keys] : tickets_.all()) keys->rotate_if_due(SteadyClock().now());
        if (++hours_ % hours_of_a_day == 0) look_at_certificates();
        wait_an_hour();
    });
}

// Once a day, for those that nobody has replaced since they were loaded.
void TlsFiles::look_at_certificates() {
    for (const auto& certificate : certificates())
        if (const auto warning = expiry_warning(certificate.info, wall_now()))
            log_.warn("{}: {}", certificate.owner, *warning);
    const auto look = [this](const auto& owners) {
        for (const auto& [name, owner] : owners)
            for (const auto& list : owner.in_force.context->revocations())
                if (const auto warning = expiry_warning(list, wall_now()))
                    log_.warn("{}: {}", name, *warning);
    };
    look(listeners_);
    look(upstreams_);
}

std::vector<TlsFiles::Certificate> TlsFiles::certificates() const {
    std::vector<Certificate> all;
    const auto add = [&all](const auto& owners, bool listeners, const std::string& prefix = {}) {
        for (const auto& [name, owner] : owners)
            for (const auto& info : owner.in_force.context->certificates())
                all.push_back({prefix + name, listeners, info});
    };
    add(listeners_, true);
    add(upstreams_, false);
    add(admin_, false, "admin ");
    return all;
}

std::vector<TlsFiles::Revocations> TlsFiles::revocations() const {
    std::vector<Revocations> all;
    const auto add = [&all](const auto& owners) {
        for (const auto& [name, owner] : owners) {
            const auto& lists = owner.in_force.context->revocations();
            const auto first =
                std::ranges::min_element(lists, {}, &net::tls::RevocationInfo::next_update);
            if (first != lists.end() && first->next_update != net::tls::SystemTime::max())
                all.push_back({name, first->file, first->next_update});
        }
    };
    add(listeners_);
    add(upstreams_);
    return all;
}

std::string TlsFiles::summary() const {
    if (taken_ + rejected_ == 0) return {};
    return fmt::format("; certificates: {} changes taken, {} rejected", with_commas(taken_),
                       with_commas(rejected_));
}

}  // namespace penstock::app
