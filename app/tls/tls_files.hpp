#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "app/helper_thread.hpp"
#include "app/server.hpp"
#include "app/tls/material.hpp"
#include "base/log.hpp"
#include "net/file_watch.hpp"

namespace penstock::app {

/// Keeps in force what the files of TLS say: certificates, keys, authorities, revocations, keys of
/// tickets. Each change is read and built on a thread of its own, and handed to the workers only if
/// all of it fits together: a certificate whose key has not come yet changes nothing. Live
/// connections stay. Warns of certificates that end soon, and gives tickets new keys. Everything
/// but the building runs on the thread of the io_context.
class TlsFiles {
public:
    /// All arguments must outlive the object.
    TlsFiles(boost::asio::io_context& context, Server& server, TicketKeyBook& tickets, Logger& log);
    ~TlsFiles();
    TlsFiles(const TlsFiles&) = delete;
    TlsFiles& operator=(const TlsFiles&) = delete;

    /// Makes the thread that follow() needs for this configuration; throws std::system_error where
    /// there can be none.
    void prepare(const config::Config& config);
    /// From now on the files of this configuration, of which the server has `loaded`.
    void follow(const ConfigPtr& config, TlsMaterial loaded);
    /// For whoever loads another configuration.
    [[nodiscard]] LoadedTls in_force() const;
    /// Where neither settings nor files have changed, what is in force stays in force: sessions and
    /// warm connections go on.
    void keep_unchanged(TlsMaterial& loaded, const config::Config& config) const;
    /// Reads all of them now, whether or not something seems to have changed.
    void look_again();
    /// Ends the watch, so that the io_context may run out of work. What is being built may still be
    /// handed to it: the object must live until the io_context has stopped.
    void stop();
    /// After stop(): from now on no other thread posts anything for them.
    bool join(TimePoint deadline = no_deadline) { return !builder_ || builder_->end(deadline); }

    /// Told of each change that was taken or rejected, in words.
    using OnChange = std::function<void(const std::string& text)>;
    void on_change(OnChange handler) { on_change_ = std::move(handler); }
    /// Told of the context that an upstream's connections are made with from now on.
    using OnUpstream = std::function<void(const std::string& upstream,
                                          const std::shared_ptr<const net::tls::ClientContext>&)>;
    void on_upstream(OnUpstream handler) { on_upstream_ = std::move(handler); }

    /// Told of the context that the admin API's listener of that name has from now on.
    using OnAdmin = std::function<void(const std::string& door,
                                       const std::shared_ptr<const net::tls::OwnServerContext>&)>;
    void on_admin(OnAdmin handler) { on_admin_ = std::move(handler); }

    /// Every certificate in force, with whom it belongs to.
    struct Certificate {
        std::string owner;  // a listener or upstream; `admin ADDRESS`
        bool of_listener = false;
        net::tls::CertificateInfo info;
    };
    [[nodiscard]] std::vector<Certificate> certificates() const;
    /// Every file of lists of revocations, and when the first of its lists has expired.
    struct Revocations {
        std::string owner;
        std::string file;
        net::tls::SystemTime next_update;
    };
    [[nodiscard]] std::vector<Revocations> revocations() const;
    /// Changes on disk that were taken, and those that were not.
    [[nodiscard]] std::uint64_t taken() const noexcept { return taken_; }
    [[nodiscard]] std::uint64_t rejected() const noexcept { return rejected_; }
    /// For the log: empty if no file ever changed.
    [[nodiscard]] std::string summary() const;

private:
    /// One listener, one upstream, or one of the admin API's listeners.
    template <typename Settings, typename Material>
    struct Owner {
        using SettingsPtr = std::shared_ptr<const Settings>;
        SettingsPtr settings;
        Material in_force;
        bool strict = false;
        bool building = false;
        bool changed_again = false;
    };
    using ListenerOwner = Owner<config::Listener, ServerMaterial>;
    using UpstreamOwner = Owner<config::Upstream, ClientMaterial>;
    using AdminOwner = Owner<AdminDoor, AdminMaterial>;

    void watch_all();
    template <typename Owners>
    void watch(Owners& owners);
    /// Reads the files of that owner anew.
    template <typename Owners>
    void reload(Owners& owners, const std::string& name);
    [[nodiscard]] static std::expected<ServerMaterial, std::string> load(
        const config::Listener& listener, bool strict, TicketKeyBook& tickets);
    [[nodiscard]] static std::expected<ClientMaterial, std::string> load(
        const config::Upstream& upstream, bool strict, TicketKeyBook& tickets);
    [[nodiscard]] static std::expected<AdminMaterial, std::string> load(const AdminDoor& door,
                                                                        bool strict,
                                                                        TicketKeyBook& tickets);
    template <typename Owners, typename Material>
    void on_built(Owners& owners, const typename Owners::mapped_type::SettingsPtr& settings,
                  std::expected<Material, std::string> built);
    void put_in_force(const std::string& name, const ServerMaterial& material);
    void put_in_force(const std::string& name, const ClientMaterial& material);
    void put_in_force(const std::string& name, const AdminMaterial& material);
    void wait_an_hour();
    void look_at_certificates();

    boost::asio::io_context& context_;
    Server& server_;
    TicketKeyBook& tickets_;
    Logger& log_;
    std::map<std::string, ListenerOwner> listeners_;  // those with TLS
    std::map<std::string, UpstreamOwner> upstreams_;
    std::map<std::string, AdminOwner> admin_;
    net::FileWatch watch_;
    boost::asio::steady_timer hour_;
    bool counts_hours_ = false;
    unsigned hours_ = 0;
    OnChange on_change_;
    OnUpstream on_upstream_;
    OnAdmin on_admin_;
    std::uint64_t taken_ = 0;
    std::uint64_t rejected_ = 0;
    bool stopped_ = false;
    std::optional<HelperThread> builder_;  // if there is any TLS
};

}  // namespace penstock::app
