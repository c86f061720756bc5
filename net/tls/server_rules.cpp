#include "net/tls/server_rules.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <ctime>
#include <new>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>

#include "base/clock.hpp"
#include "net/client_hello.hpp"
#include "net/tls/error.hpp"
#include "net/tls/settings.hpp"
#include "net/tls/stream.hpp"

namespace penstock::net::tls {

namespace {

void drop_rules(void*, void* rules, CRYPTO_EX_DATA*, int, long, void*) noexcept {
    delete static_cast<ServerRules*>(rules);
}

int rules_index() {
    static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, drop_rules);
    return index;
}

const ServerRules& rules_in(void* argument) noexcept {
    return *static_cast<const ServerRules*>(argument);
}

ServerNotes& notes_of(const SSL* ssl) noexcept {
    return *static_cast<ServerNotes*>(SSL_get_app_data(ssl));
}

// As this hello has it: SSL_get_servername() has the name of the first connection where a session
// of TLS 1.2 is resumed. A list of one name (RFC 6066, section 3); of any other OpenSSL thinks what
// it will.
std::string_view asked_name(SSL* ssl) noexcept {
    constexpr std::size_t head = 5;  // size of the list, type, size of the name
    const unsigned char* list = nullptr;
    std::size_t size = 0;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &list, &size) != 1) return {};
    if (size <= head || list[2] != TLSEXT_NAMETYPE_host_name) return {};
    const std::size_t length = std::size_t{list[3]} << 8 | list[4];
    if (length > size - head) return {};
    return {reinterpret_cast<const char*>(list + head), length};
}

// A session is resumed for the name that it was made for.
bool bind_sessions(SSL* ssl, const ServerRules& rules, const std::string& name) {
    const std::string scope = session_scope({rules.session_scope, name});
    return SSL_set_session_id_context(ssl, reinterpret_cast<const unsigned char*>(scope.data()),
                                      static_cast<unsigned int>(scope.size())) == 1;
}

int read_hello(SSL* ssl, int* alert, void* argument) noexcept {
    const ServerRules& rules = rules_in(argument);
    const std::string_view asked = asked_name(ssl);
    std::string& name = notes_of(ssl).server_name;
    name = normalized_server_name(asked);
    *alert = SSL_AD_INTERNAL_ERROR;
    if (!bind_sessions(ssl, rules, name)) return SSL_CLIENT_HELLO_ERROR;
    if (!rules.strict_sni) return SSL_CLIENT_HELLO_SUCCESS;
    if (!name.empty() && (rules.names.find(name) != nullptr || rules.known.covers(name)))
        return SSL_CLIENT_HELLO_SUCCESS;
    refuse_name(asked);
    *alert = SSL_AD_UNRECOGNIZED_NAME;
    return SSL_CLIENT_HELLO_ERROR;
}

// Tells the client that its name was looked at.
int acknowledge_name(SSL*, int*, void*) noexcept { return SSL_TLSEXT_ERR_OK; }

int choose_certificate(SSL* ssl, void* argument) noexcept {
    const ServerRules& rules = rules_in(argument);
    const auto* named = rules.names.find(notes_of(ssl).server_name);
    if (named == nullptr) return 1;
    const auto group = rules.one_of_each_type(*named);
    if (group == rules.default_group) return 1;
    SSL_certs_clear(ssl);
    for (const auto place : group) {
        const LoadedPair& pair = rules.pairs[place];
        if (SSL_use_cert_and_key(ssl, pair.certificate.get(), pair.key.get(), pair.chain.get(),
                                 1) != 1)
            return 0;
    }
    return 1;
}

int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_size,
                    const unsigned char* in, unsigned int in_size, void* argument) noexcept {
    for (const auto& own : rules_in(argument).alpn) {
        for (unsigned int at = 0; at < in_size; at += 1U + in[at]) {
            if (in_size - at - 1 < in[at]) break;
            if (own.size() != in[at] || std::memcmp(own.data(), in + at + 1, own.size()) != 0)
                continue;
            *out = in + at + 1;
            *out_size = in[at];
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

// OpenSSL looks algorithms up anew each time unless it is given them.
const EVP_CIPHER* ticket_cipher(bool aes128) noexcept {
    static const EVP_CIPHER* const long_key = EVP_CIPHER_fetch(nullptr, "AES-256-CBC", nullptr);
    static const EVP_CIPHER* const short_key = EVP_CIPHER_fetch(nullptr, "AES-128-CBC", nullptr);
    return aes128 ? short_key : long_key;
}

bool set_mac(EVP_MAC_CTX* mac, const TicketKey& key) noexcept {
    char digest[] = "SHA256";
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY,
                                          const_cast<std::uint8_t*>(key.mac.data()),
                                          key.aes128 ? 16 : key.mac.size()),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, parameters) == 1;
}

int seal(const TicketKey& key, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
         EVP_MAC_CTX* mac) noexcept {
    std::memcpy(name, key.name.data(), key.name.size());
    const bool ok =
        RAND_bytes(iv, 16) == 1 && set_mac(mac, key) &&
        EVP_EncryptInit_ex(cipher, ticket_cipher(key.aes128), nullptr, key.cipher.data(), iv) == 1;
    return ok ? 1 : -1;
}

// 2: what an older key sealed is replaced by a new ticket.
int open(const std::vector<TicketKey>& keys, const unsigned char* name, const unsigned char* iv,
         EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac) noexcept {
    const auto key = std::ranges::find_if(keys, [name](const TicketKey& candidate) {
        return std::memcmp(candidate.name.data(), name, candidate.name.size()) == 0;
    });
    if (key == keys.end()) return 0;
    if (!set_mac(mac, *key) || EVP_DecryptInit_ex(cipher, ticket_cipher(key->aes128), nullptr,
                                                  key->cipher.data(), iv) != 1)
        return -1;
    return key == keys.begin() ? 1 : 2;
}

int ticket_key(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
               EVP_MAC_CTX* mac, int sealing) noexcept {
    const auto keys = rules_of(ssl).tickets->keys();
    return sealing == 1 ? seal(keys->front(), name, iv, cipher, mac)
                        : open(*keys, name, iv, cipher, mac);
}

std::time_t seconds_of(SystemTime time) noexcept {
    return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
}

// For TLS 1.3 OpenSSL has begun the session's life anew by now, also where it was resumed. That of
// TLS 1.2 keeps its time.
int on_seal(SSL* ssl, void*) noexcept {
    if (SSL_version(ssl) < TLS1_3_VERSION) return 1;
    SSL_SESSION* session = SSL_get_session(ssl);
    const SystemTime end = notes_of(ssl).session_end;
    SSL_SESSION_set_timeout(session, std::max(0L, seconds_of(end) - SSL_SESSION_get_time(session)));
    return 1;
}

// What was proved by a certificate or a list that has expired since then asks for a full handshake.
// Sessions made here end by then, but not those of an earlier version's tickets.
SSL_TICKET_RETURN on_open(SSL* ssl, SSL_SESSION* session, const unsigned char*, std::size_t,
                          SSL_TICKET_STATUS status, void*) noexcept {
    if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    X509* client = SSL_SESSION_get0_peer(session);
    if (client != nullptr &&
        (has_expired(client) || SystemTime(wall_now()) >= rules_of(ssl).revocations_end))
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

// A session ends with the first of what it was granted on.
void bound_session(const SSL* ssl, X509_STORE_CTX* verification) noexcept {
    SSL_SESSION* session = SSL_get_session(ssl);
    const auto end =
        std::min(first_end(X509_STORE_CTX_get0_chain(verification)), rules_of(ssl).revocations_end);
    const long left = seconds_of(end) - SSL_SESSION_get_time(session);
    if (left < SSL_SESSION_get_timeout(session))
        SSL_SESSION_set_timeout(session, std::max(0L, left));
}

int check_client(int ok, X509_STORE_CTX* verification) noexcept {
    if (ok != 1) return note_refused(ok, verification);
    if (X509_STORE_CTX_get_error_depth(verification) != 0) return 1;
    const auto* ssl = static_cast<const SSL*>(
        X509_STORE_CTX_get_ex_data(verification, SSL_get_ex_data_X509_STORE_CTX_idx()));
    const ServerRules& rules = rules_of(ssl);
    X509* client = X509_STORE_CTX_get_current_cert(verification);
    if (rules.client_names.empty() || bears_one_of(client, rules.client_names)) {
        bound_session(ssl, verification);
        return 1;
    }
    X509_STORE_CTX_set_error(verification, X509_V_ERR_APPLICATION_VERIFICATION);
    return note_refused(0, verification);
}

int verify_mode(ClientAuth auth) noexcept {
    switch (auth) {
        case ClientAuth::off: return SSL_VERIFY_NONE;
        case ClientAuth::optional: return SSL_VERIFY_PEER;
        case ClientAuth::required: return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    }
    return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
}

}  // namespace

NameIndex::Group ServerRules::one_of_each_type(const NameIndex::Group& group) const {
    NameIndex::Group chosen;
    for (const auto place : group) {
        const int type = EVP_PKEY_get_base_id(pairs[place].key.get());
        if (std::ranges::none_of(chosen, [&](std::uint32_t other) {
                return EVP_PKEY_get_base_id(pairs[other].key.get()) == type;
            }))
            chosen.push_back(place);
    }
    return chosen;
}

void install(SSL_CTX* context, std::unique_ptr<ServerRules> owned) {
    ServerRules* rules = owned.get();
    if (SSL_CTX_set_ex_data(context, rules_index(), rules) != 1) throw std::bad_alloc();
    static_cast<void>(owned.release());
    // The macro for this has a cast of the old style.
    SSL_CTX_callback_ctrl(context, SSL_CTRL_SET_TLSEXT_SERVERNAME_CB,
                          reinterpret_cast<void (*)()>(acknowledge_name));
    SSL_CTX_set_client_hello_cb(context, read_hello, rules);
    SSL_CTX_set_cert_cb(context, choose_certificate, rules);
    if (!rules->alpn.empty()) SSL_CTX_set_alpn_select_cb(context, choose_protocol, rules);
    if (rules->tickets) SSL_CTX_set_tlsext_ticket_key_evp_cb(context, ticket_key);
    SSL_CTX_set_session_ticket_cb(context, on_seal, on_open, nullptr);
    if (rules->client_auth == ClientAuth::off) return;
    SSL_CTX_set_verify(context, verify_mode(rules->client_auth), check_client);
}

const ServerRules& rules_of(const SSL* ssl) noexcept {
    return *static_cast<const ServerRules*>(
        SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), rules_index()));
}

}  // namespace penstock::net::tls
