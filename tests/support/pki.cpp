#include "tests/support/pki.hpp"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>

#include <array>
#include <ctime>
#include <filesystem>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace penstock::test {

namespace {

template <auto Free>
struct Deleter {
    template <class T>
    void operator()(T* object) const {
        Free(object);
    }
};
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using Cert = std::unique_ptr<X509, Deleter<X509_free>>;
using Crl = std::unique_ptr<X509_CRL, Deleter<X509_CRL_free>>;
using Memory = std::unique_ptr<BIO, Deleter<BIO_free_all>>;
using Integer = std::unique_ptr<ASN1_INTEGER, Deleter<ASN1_INTEGER_free>>;
using Time = std::unique_ptr<ASN1_TIME, Deleter<ASN1_TIME_free>>;
using Names = std::unique_ptr<GENERAL_NAMES, Deleter<GENERAL_NAMES_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Deleter<X509_EXTENSION_free>>;

constexpr long day = 86400;

void demand(bool holds, const char* what) {
    if (!holds)
        throw std::runtime_error(std::string("PKI of the test: ") + what + ": " +
                                 ERR_error_string(ERR_get_error(), nullptr));
}

Key make_key(KeyKind kind) {
    switch (kind) {
        case KeyKind::ecdsa: return Key(EVP_EC_gen("P-256"));
        case KeyKind::rsa: return Key(EVP_RSA_gen(2048));
        case KeyKind::weak_rsa: return Key(EVP_RSA_gen(1024));
    }
    return nullptr;
}

std::string text_of(const Memory& memory) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(memory.get(), &data);
    return {data, static_cast<std::size_t>(size)};
}

template <class Write>
std::string pem(Write write) {
    const Memory memory(BIO_new(BIO_s_mem()));
    demand(write(memory.get()) == 1, "PEM");
    return text_of(memory);
}

std::string pem_of(X509* cert) {
    return pem([&](BIO* out) { return PEM_write_bio_X509(out, cert); });
}
std::string pem_of(EVP_PKEY* key) {
    return pem([&](BIO* out) {
        return PEM_write_bio_PKCS8PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr);
    });
}

void set_common_name(X509_NAME* name, const std::string& text) {
    if (text.empty()) return;
    // OpenSSL takes the text as bytes.
    const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
    demand(X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, bytes,
                                      static_cast<int>(text.size()), -1, 0) == 1,
           "common name");
}

void add_extension(X509* cert, X509* issuer, int nid, const char* value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, cert, nullptr, nullptr, 0);
    const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value));
    demand(extension && X509_add_ext(cert, extension.get(), -1) == 1, value);
}

ASN1_STRING* octets(int type, std::string_view text) {
    ASN1_STRING* string = ASN1_STRING_type_new(type);
    ASN1_STRING_set(string, text.data(), static_cast<int>(text.size()));
    return string;
}

GENERAL_NAME* general_name(std::string_view text) {
    GENERAL_NAME* name = GENERAL_NAME_new();
    const auto colon = text.find(':');
    const auto kind = text.substr(0, colon);
    const std::string value(text.substr(colon + 1));
    if (kind == "IP") {
        std::array<char, 16> address{};
        const bool v6 = value.find(':') != std::string::npos;
        demand(::inet_pton(v6 ? AF_INET6 : AF_INET, value.c_str(), address.data()) == 1, "IP SAN");
        GENERAL_NAME_set0_value(name, GEN_IPADD,
                                octets(V_ASN1_OCTET_STRING, {address.data(), v6 ? 16U : 4U}));
    } else {
        demand(kind == "DNS" || kind == "URI", "a name is DNS:, IP: or URI:");
        GENERAL_NAME_set0_value(name, kind == "DNS" ? GEN_DNS : GEN_URI,
                                octets(V_ASN1_IA5STRING, value));
    }
    return name;
}

void add_names(X509* cert, const std::vector<std::string>& texts) {
    if (texts.empty()) return;
    const Names names(GENERAL_NAMES_new());
    for (const std::string& text : texts) sk_GENERAL_NAME_push(names.get(), general_name(text));
    demand(X509_add1_ext_i2d(cert, NID_subject_alt_name, names.get(), 0, X509V3_ADD_APPEND) == 1,
           "names");
}

struct Dates {
    int from_days;
    int to_days;
};

Cert begin_certificate(EVP_PKEY* key, std::int64_t serial, const std::string& common_name,
                       Dates dates) {
    Cert cert(X509_new());
    X509_set_version(cert.get(), X509_VERSION_3);
    ASN1_INTEGER_set_int64(X509_get_serialNumber(cert.get()), serial);
    X509_gmtime_adj(X509_getm_notBefore(cert.get()), dates.from_days * day);
    X509_gmtime_adj(X509_getm_notAfter(cert.get()), dates.to_days * day);
    set_common_name(X509_get_subject_name(cert.get()), common_name);
    demand(X509_set_pubkey(cert.get(), key) == 1, "public key");
    return cert;
}

void sign(X509* cert, X509* issuer, EVP_PKEY* issuer_key) {
    X509_set_issuer_name(cert, X509_get_subject_name(issuer));
    demand(X509_sign(cert, issuer_key, EVP_sha256()) > 0, "signature");
}

std::int64_t seconds(const ASN1_TIME* time) {
    std::tm parts{};
    demand(ASN1_TIME_to_tm(time, &parts) == 1, "time");
    return ::timegm(&parts);
}

const char* key_usage(Usage usage) {
    switch (usage) {
        case Usage::server: return "serverAuth";
        case Usage::client: return "clientAuth";
        case Usage::signing: return "codeSigning";
    }
    return "";
}

}  // namespace

struct Pki::Authority {
    Key key;
    Cert cert;
};

Pki::Pki(const TempDir& directory, std::string name)
    : directory_(directory), name_(std::move(name)) {
    ca_file_ = write(name_ + "-ca.pem", pem_of(authority(0).cert.get()));
}

Pki::~Pki() = default;

Pki::Authority& Pki::authority(std::size_t depth) {
    while (authorities_.size() <= depth) {
        const bool root = authorities_.empty();
        auto made = std::make_unique<Authority>();
        made->key = make_key(KeyKind::ecdsa);
        const std::string label = root ? " root" : " CA " + std::to_string(authorities_.size());
        made->cert = begin_certificate(made->key.get(), next_serial_++, name_ + label, {-30, 365});
        const Authority& issuer = root ? *made : *authorities_.back();
        add_extension(made->cert.get(), issuer.cert.get(), NID_basic_constraints,
                      "critical,CA:TRUE");
        add_extension(made->cert.get(), issuer.cert.get(), NID_key_usage,
                      "critical,keyCertSign,cRLSign");
        add_extension(made->cert.get(), issuer.cert.get(), NID_subject_key_identifier, "hash");
        sign(made->cert.get(), issuer.cert.get(), issuer.key.get());
        authorities_.push_back(std::move(made));
    }
    return *authorities_[depth];
}

Pair Pki::issue(const std::string& file, const LeafOptions& options) {
    const Key key = make_key(options.key);
    demand(key != nullptr, "key");
    Pair pair;
    pair.serial = next_serial_++;
    const Cert cert = begin_certificate(key.get(), pair.serial, options.common_name,
                                        {options.from_days, options.to_days});
    authority(options.intermediates);
    X509* issuer = options.self_signed ? cert.get() : authority(options.intermediates).cert.get();
    EVP_PKEY* signer = options.self_signed ? key.get() : authority(options.intermediates).key.get();
    add_extension(cert.get(), issuer, NID_basic_constraints, "critical,CA:FALSE");
    add_extension(cert.get(), issuer, NID_key_usage, "critical,digitalSignature");
    add_extension(cert.get(), issuer, NID_ext_key_usage, key_usage(options.usage));
    add_names(cert.get(), options.names);
    sign(cert.get(), issuer, signer);
    pair.not_after = seconds(X509_get0_notAfter(cert.get()));
    pair.cert_pem = pem_of(cert.get());
    if (!options.self_signed)
        for (std::size_t depth = options.intermediates; depth > 0; --depth)
            pair.cert_pem += pem_of(authority(depth).cert.get());
    pair.key_pem = pem_of(key.get());
    pair.cert_file = write(file + ".pem", pair.cert_pem);
    pair.key_file = write(file + ".key", pair.key_pem);
    return pair;
}

std::string Pki::revoke(const std::string& file, const std::vector<std::int64_t>& serials) {
    std::string text;
    for (std::size_t depth : {std::size_t{0}, std::size_t{1}}) {
        const Authority& issuer = authority(depth);
        const Crl crl(X509_CRL_new());
        X509_CRL_set_version(crl.get(), X509_CRL_VERSION_2);
        X509_CRL_set_issuer_name(crl.get(), X509_get_subject_name(issuer.cert.get()));
        const Time now(X509_gmtime_adj(nullptr, -day));
        const Time next(X509_gmtime_adj(nullptr, 30 * day));
        X509_CRL_set1_lastUpdate(crl.get(), now.get());
        X509_CRL_set1_nextUpdate(crl.get(), next.get());
        for (const std::int64_t serial : depth == 1 ? serials : std::vector<std::int64_t>{}) {
            X509_REVOKED* revoked = X509_REVOKED_new();
            const Integer number(ASN1_INTEGER_new());
            ASN1_INTEGER_set_int64(number.get(), serial);
            X509_REVOKED_set_serialNumber(revoked, number.get());
            X509_REVOKED_set_revocationDate(revoked, now.get());
            X509_CRL_add0_revoked(crl.get(), revoked);
        }
        X509_CRL_sort(crl.get());
        demand(X509_CRL_sign(crl.get(), issuer.key.get(), EVP_sha256()) > 0, "CRL");
        text += pem([&](BIO* out) { return PEM_write_bio_X509_CRL(out, crl.get()); });
    }
    return write(file, text);
}

std::string Pki::encrypt_key(const std::string& file, const Pair& pair,
                             const std::string& password) const {
    const Memory in(BIO_new_mem_buf(pair.key_pem.data(), static_cast<int>(pair.key_pem.size())));
    const Key key(PEM_read_bio_PrivateKey(in.get(), nullptr, nullptr, nullptr));
    demand(key != nullptr, "key");
    return write(file, pem([&](BIO* out) {
                     return PEM_write_bio_PKCS8PrivateKey(
                         out, key.get(), EVP_aes_256_cbc(), password.data(),
                         static_cast<int>(password.size()), nullptr, nullptr);
                 }));
}

std::string Pki::write(const std::string& file, const std::string& text) const {
    const std::string path = directory_.write(file, text);
    std::filesystem::permissions(path, std::filesystem::perms(0600));
    return path;
}

}  // namespace penstock::test
