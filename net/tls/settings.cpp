#include "net/tls/settings.hpp"

#include <new>

#include <openssl/err.h>

#include "net/tls/context.hpp"
#include "net/tls/error.hpp"

namespace penstock::net::tls {

namespace {

// Mozilla's guideline 6.0, "intermediate", in its order.
constexpr const char* usual_ciphers =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
constexpr const char* usual_suites =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

constexpr int security_level = 2;
constexpr int max_chain = 10;
constexpr long max_chain_bytes = 64 * 1024;

int number(Version version) noexcept {
    return version == Version::tls12 ? TLS1_2_VERSION : TLS1_3_VERSION;
}

struct Ciphers {
    std::string tls12{};
    std::string tls13{};
};

Ciphers split(const std::string& mixed) {
    Ciphers ciphers;
    for (std::size_t begin = 0; begin < mixed.size();) {
        const std::size_t end = std::min(mixed.find_first_of(":, ", begin), mixed.size());
        const std::string word = mixed.substr(begin, end - begin);
        begin = end + 1;
        if (word.empty()) continue;
        std::string& list = word.starts_with("TLS_") ? ciphers.tls13 : ciphers.tls12;
        list += list.empty() ? word : ":" + word;
    }
    if (ciphers.tls12.empty()) ciphers.tls12 = usual_ciphers;
    if (ciphers.tls13.empty()) ciphers.tls13 = usual_suites;
    return ciphers;
}

std::expected<void, std::string> set_ciphers(SSL_CTX* context, const std::string& mixed) {
    const Ciphers ciphers = split(mixed);
    const char* wrong = nullptr;
    if (SSL_CTX_set_cipher_list(context, ciphers.tls12.c_str()) != 1)
        wrong = ciphers.tls12.c_str();
    else if (SSL_CTX_set_ciphersuites(context, ciphers.tls13.c_str()) != 1)
        wrong = ciphers.tls13.c_str();
    if (wrong == nullptr) return {};
    return std::unexpected("ciphers: " + take_reason() + ": " + wrong +
                           " (`openssl ciphers -v` shows the names)");
}

// Hybrid key exchange came with OpenSSL 3.5.
bool set_groups(SSL_CTX* context) noexcept {
    const bool set = SSL_CTX_set1_groups_list(context, "X25519MLKEM768:X25519:P-256:P-384") == 1 ||
                     SSL_CTX_set1_groups_list(context, "X25519:P-256:P-384") == 1;
    ERR_clear_error();
    return set;
}

void set_modes(SSL_CTX* context) noexcept {
    SSL_CTX_clear_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_NO_TICKET |
                                       SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION |
                                       SSL_OP_LEGACY_SERVER_CONNECT);
    // The guideline leaves the choice to clients, since all of these are good. But lists of an
    // operator's own may have weaker ones, and scanners demand an order of TLS 1.2. So it is this
    // side's, but for clients without AES in hardware, who say so by theirs.
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_read_ahead(context, 1);  // a record's head and body in one call
    SSL_CTX_set_max_early_data(context, 0);
    SSL_CTX_set_max_cert_list(context, max_chain_bytes);
    SSL_CTX_set_verify_depth(context, max_chain);
}

}  // namespace

void ignore_openssl_conf() noexcept {
    static const bool done = [] {
        OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr);
        OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr);
        return true;
    }();
    static_cast<void>(done);
}

std::expected<ContextPtr, std::string> make_context(const SSL_METHOD* method,
                                                    const Policy& policy) {
    ignore_openssl_conf();
    ERR_clear_error();
    ContextPtr context(SSL_CTX_new(method));
    if (!context) return std::unexpected("cannot set up TLS: " + take_reason());
    SSL_CTX* raw = context.get();
    set_modes(raw);
    if (SSL_CTX_set_min_proto_version(raw, number(policy.min_version)) != 1 ||
        SSL_CTX_set_max_proto_version(raw, number(policy.max_version)) != 1 || !set_groups(raw))
        return std::unexpected("cannot set up TLS: " + take_reason());
    if (auto set = set_ciphers(raw, policy.ciphers); !set) return std::unexpected(set.error());
    SSL_CTX_set_security_level(raw, security_level);  // after the list, which may hold @SECLEVEL
    return context;
}

std::expected<void, std::string> use_pair(SSL_CTX* context, const LoadedPair& pair) {
    if (SSL_CTX_use_cert_and_key(context, pair.certificate.get(), pair.key.get(), pair.chain.get(),
                                 1) == 1)
        return {};
    return std::unexpected(pair.info.file + ": the certificate cannot be used: " + take_reason());
}

std::expected<std::string, std::string> wire_protocols(const std::vector<std::string>& protocols) {
    std::string wire;
    for (const auto& protocol : protocols) {
        if (protocol.empty() || protocol.size() > 255)
            return std::unexpected("alpn: a protocol has 1 to 255 characters");
        wire += static_cast<char>(protocol.size());
        wire += protocol;
    }
    return wire;
}

std::string session_scope(const std::vector<std::string>& parts) {
    std::string text;
    for (const auto& part : parts) text += std::to_string(part.size()) + ":" + part;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    if (EVP_Digest(text.data(), text.size(), digest, &size, EVP_sha256(), nullptr) != 1)
        throw std::bad_alloc();
    return {reinterpret_cast<const char*>(digest), size};
}

}  // namespace penstock::net::tls
