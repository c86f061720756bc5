#include <algorithm>
#include <new>
#include <utility>

#include "net/tls/context.hpp"
#include "net/tls/context_state.hpp"
#include "net/tls/error.hpp"
#include "net/tls/server_rules.hpp"
#include "net/tls/settings.hpp"

namespace penstock::net::tls {

namespace {

using Done = std::expected<void, std::string>;

std::string joined(const std::vector<std::string>& words) {
    std::string text;
    for (const auto& word : words) text += std::to_string(word.size()) + ":" + word;
    return text;
}

int key_type(const ServerRules& rules, std::uint32_t place) noexcept {
    return EVP_PKEY_get_base_id(rules.pairs[place].key.get());
}

// One whose name and type of key another has that comes first.
void warn_of_doubles(const ServerRules& rules, std::vector<std::string>& warnings) {
    for (std::uint32_t place = 0; place < rules.pairs.size(); ++place) {
        const CertificateInfo& info = rules.pairs[place].info;
        for (const auto& name : info.names) {
            const auto* group = rules.names.find(name);
            if (group == nullptr) continue;
            const auto first = std::ranges::find_if(*group, [&](std::uint32_t other) {
                return key_type(rules, other) == key_type(rules, place);
            });
            if (first == group->end() || *first >= place) continue;
            warnings.push_back(info.file + ": is not used for " + name +
                               ", because the certificate in " + rules.pairs[*first].info.file +
                               " comes first");
        }
    }
}

Done load_pairs(const ServerOptions& options, ServerRules& rules) {
    if (options.certificates.empty())
        return std::unexpected("there is no certificate; `certificates` must name one");
    for (const auto& source : options.certificates) {
        auto pair = load_pair(source);
        if (!pair) return std::unexpected(pair.error());
        const auto place = static_cast<std::uint32_t>(rules.pairs.size());
        for (const auto& name : pair->info.names) rules.names.add(name, place);
        rules.pairs.push_back(std::move(*pair));
    }
    // The default is the first, and whatever has another type of key for the same name.
    NameIndex::Group group{0};
    const auto& names = rules.pairs.front().info.names;
    if (!names.empty())
        if (const auto* same = rules.names.find(names.front()); same != nullptr)
            group.insert(group.end(), same->begin(), same->end());
    rules.default_group = rules.one_of_each_type(group);
    return {};
}

// Each is tried, so that none can fail when a client asks for it.
Done use_pairs(SSL_CTX* context, const Policy& policy, const ServerRules& rules) {
    auto trial = make_context(TLS_server_method(), policy);
    if (!trial) return std::unexpected(trial.error());
    for (const auto& pair : rules.pairs)
        if (auto used = use_pair(trial->get(), pair); !used) return used;
    for (const auto place : rules.default_group)
        if (auto used = use_pair(context, rules.pairs[place]); !used) return used;
    return {};
}

Done trust_clients(SSL_CTX* context, const ServerOptions& options,
                   std::vector<CertificateInfo>& infos, std::vector<std::string>& warnings,
                   std::vector<RevocationInfo>& revocations) {
    if (options.client_auth == ClientAuth::off) return {};
    if (options.client_ca_pem.empty())
        return std::unexpected("client certificates are asked for, but no client_ca is given");
    const TrustSource source{options.client_ca_file, options.client_ca_pem, options.client_crl_file,
                             options.client_crl_pem};
    const auto trust = fill_store(SSL_CTX_get_cert_store(context), source);
    if (!trust) return std::unexpected(trust.error());
    for (const auto& authority : trust->authorities)
        if (SSL_CTX_add_client_CA(context, authority.get()) != 1) throw std::bad_alloc();
    describe_trust(*trust, source, infos, warnings);
    revocations = trust->revocations;
    return {};
}

std::string scope_of(const ServerOptions& options) {
    return session_scope({options.name, std::to_string(static_cast<int>(options.client_auth)),
                          options.client_ca_pem, options.client_crl_pem,
                          joined(options.client_names)});
}

void set_sessions(SSL_CTX* context, const ServerOptions& options) {
    SSL_CTX_set_timeout(context, static_cast<long>(options.session_lifetime.count()));
    SSL_CTX_set_num_tickets(context, 0);  // one goes with the first data: see Stream::send
    if (!options.session_tickets) SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(
        context, options.session_cache == 0 ? SSL_SESS_CACHE_OFF : SSL_SESS_CACHE_SERVER);
    if (options.session_cache != 0)
        SSL_CTX_sess_set_cache_size(context, static_cast<long>(options.session_cache));
}

}  // namespace

ServerContext::ServerContext(std::unique_ptr<State> state) : state_(std::move(state)) {}
ServerContext::~ServerContext() = default;

std::expected<std::shared_ptr<const ServerContext>, std::string> ServerContext::make(
    const ServerOptions& options, std::shared_ptr<TicketKeys> tickets) {
    const Policy policy{options.min_version, options.max_version, options.ciphers};
    auto context = make_context(TLS_server_method(), policy);
    if (!context) return std::unexpected(context.error());
    if (auto protocols = wire_protocols(options.alpn); !protocols)
        return std::unexpected(protocols.error());
    auto rules = std::make_unique<ServerRules>();
    if (auto done = load_pairs(options, *rules); !done) return std::unexpected(done.error());
    if (auto done = use_pairs(context->get(), policy, *rules); !done)
        return std::unexpected(done.error());
    auto state = std::make_unique<State>();
    for (const auto& pair : rules->pairs) describe_pair(pair, state->certificates, state->warnings);
    warn_of_doubles(*rules, state->warnings);
    if (auto done = trust_clients(context->get(), options, state->certificates, state->warnings,
                                  state->revocations);
        !done)
        return std::unexpected(done.error());
    set_sessions(context->get(), options);
    for (const auto& name : options.known_names) rules->known.add(name, 0);
    rules->revocations_end = first_end(state->revocations);
    rules->session_scope = scope_of(options);
    rules->alpn = options.alpn;
    rules->client_names = options.client_names;
    rules->client_auth = options.client_auth;
    rules->strict_sni = options.strict_sni;
    rules->sends_tickets = options.session_tickets || options.session_cache != 0;
    rules->tickets = tickets ? std::move(tickets) : std::make_shared<TicketKeys>();
    state->client_auth = options.client_auth;
    install(context->get(), std::move(rules));
    state->context = std::move(*context);
    return std::shared_ptr<const ServerContext>(new ServerContext(std::move(state)));
}

const std::vector<CertificateInfo>& ServerContext::certificates() const noexcept {
    return state_->certificates;
}

const std::vector<std::string>& ServerContext::warnings() const noexcept {
    return state_->warnings;
}

const std::vector<RevocationInfo>& ServerContext::revocations() const noexcept {
    return state_->revocations;
}

ClientAuth ServerContext::client_auth() const noexcept { return state_->client_auth; }

}  // namespace penstock::net::tls
