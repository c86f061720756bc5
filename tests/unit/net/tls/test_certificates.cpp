#include "tests/unit/net/tls/test_certificates.hpp"

#include <stdexcept>

#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "net/tls/handles.hpp"

namespace penstock::net::tls {

namespace {

void must(bool ok, const char* what) {
    if (!ok) throw std::runtime_error(std::string("OpenSSL: ") + what);
}

std::string text_of(BIO* bio) {
    std::string text(BIO_ctrl_pending(bio), '\0');
    must(BIO_read(bio, text.data(), static_cast<int>(text.size())) == static_cast<int>(text.size()),
         "BIO_read");
    return text;
}

BioPtr memory() { return BioPtr(BIO_new(BIO_s_mem())); }
BioPtr memory(const std::string& text) {
    return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

KeyPtr new_key(unsigned rsa_bits) {
    return KeyPtr(rsa_bits != 0 ? EVP_RSA_gen(rsa_bits) : EVP_EC_gen("P-256"));
}

KeyPtr key_of(const TestCertificate& certificate) {
    return KeyPtr(
        PEM_read_bio_PrivateKey(memory(certificate.key_pem).get(), nullptr, nullptr, nullptr));
}

CertificatePtr parsed(const TestCertificate& certificate) {
    return CertificatePtr(
        PEM_read_bio_X509(memory(certificate.cert_pem).get(), nullptr, nullptr, nullptr));
}

void add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
    must(extension != nullptr, value.c_str());
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

void add_raw_name(X509* certificate, const std::string& name) {
    GENERAL_NAMES* names = sk_GENERAL_NAME_new_null();
    GENERAL_NAME* entry = GENERAL_NAME_new();
    ASN1_IA5STRING* value = ASN1_IA5STRING_new();
    ASN1_STRING_set(value, name.data(), static_cast<int>(name.size()));
    GENERAL_NAME_set0_value(entry, GEN_DNS, value);
    sk_GENERAL_NAME_push(names, entry);
    X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, 0);
    GENERAL_NAMES_free(names);
}

void add_names(X509* certificate, X509* issuer, const CertificateSpec& spec) {
    if (!spec.raw_dns_name.empty()) return add_raw_name(certificate, spec.raw_dns_name);
    std::string all;
    for (const auto& name : spec.names) all += all.empty() ? name : "," + name;
    if (!all.empty()) add_extension(certificate, issuer, NID_subject_alt_name, all);
}

long new_serial() {
    std::uint32_t bits = 0;
    must(RAND_bytes(reinterpret_cast<unsigned char*>(&bits), sizeof bits) == 1, "RAND_bytes");
    return static_cast<long>(bits >> 1) + 1;
}

void fill(X509* certificate, const CertificateSpec& spec, long serial, EVP_PKEY* key) {
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial);
    X509_time_adj_ex(X509_getm_notBefore(certificate), static_cast<int>(spec.from_days), 0,
                     nullptr);
    X509_time_adj_ex(X509_getm_notAfter(certificate), static_cast<int>(spec.to_days),
                     spec.to_seconds, nullptr);
    if (!spec.common_name.empty())
        X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                                   reinterpret_cast<const unsigned char*>(spec.common_name.c_str()),
                                   -1, -1, 0);
    must(X509_set_pubkey(certificate, key) == 1, "X509_set_pubkey");
}

}  // namespace

KeyPair TestCertificate::pair(const std::string& chain) const {
    return {.cert_file = "/t/a.pem",
            .key_file = "/t/a.key",
            .cert_pem = cert_pem + chain,
            .key_pem = key_pem};
}

TestCertificate make_certificate(const CertificateSpec& spec, const TestCertificate* issuer) {
    TestCertificate made;
    made.serial = new_serial();
    const KeyPtr key = new_key(spec.rsa_bits);
    const CertificatePtr certificate(X509_new());
    fill(certificate.get(), spec, made.serial, key.get());
    const CertificatePtr above = issuer == nullptr ? nullptr : parsed(*issuer);
    const KeyPtr issuer_key = issuer == nullptr ? nullptr : key_of(*issuer);
    X509* const signer = above ? above.get() : certificate.get();
    X509_set_issuer_name(certificate.get(), X509_get_subject_name(signer));
    add_extension(certificate.get(), signer, NID_basic_constraints,
                  spec.authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
    add_extension(certificate.get(), signer, NID_subject_key_identifier, "hash");
    add_names(certificate.get(), signer, spec);
    must(X509_sign(certificate.get(), issuer_key ? issuer_key.get() : key.get(), EVP_sha256()) > 0,
         "X509_sign");
    const BioPtr cert = memory();
    const BioPtr key_text = memory();
    must(PEM_write_bio_X509(cert.get(), certificate.get()) == 1 &&
             PEM_write_bio_PrivateKey(key_text.get(), key.get(), nullptr, nullptr, 0, nullptr,
                                      nullptr) == 1,
         "PEM_write");
    made.cert_pem = text_of(cert.get());
    made.key_pem = text_of(key_text.get());
    return made;
}

std::string make_crl(const TestCertificate& issuer, const std::vector<long>& revoked_serials,
                     long to_days, long to_seconds) {
    const CrlPtr crl(X509_CRL_new());
    X509_CRL_set_version(crl.get(), X509_CRL_VERSION_2);
    X509_CRL_set_issuer_name(crl.get(), X509_get_subject_name(parsed(issuer).get()));
    ASN1_TIME* time = ASN1_TIME_new();
    X509_time_adj_ex(time, -2, 0, nullptr);
    X509_CRL_set1_lastUpdate(crl.get(), time);
    X509_time_adj_ex(time, static_cast<int>(to_days), to_seconds, nullptr);
    X509_CRL_set1_nextUpdate(crl.get(), time);
    X509_time_adj_ex(time, -1, 0, nullptr);
    for (const long serial : revoked_serials) {
        X509_REVOKED* entry = X509_REVOKED_new();
        ASN1_INTEGER* number = ASN1_INTEGER_new();
        ASN1_INTEGER_set(number, serial);
        X509_REVOKED_set_serialNumber(entry, number);
        X509_REVOKED_set_revocationDate(entry, time);
        ASN1_INTEGER_free(number);
        X509_CRL_add0_revoked(crl.get(), entry);
    }
    ASN1_TIME_free(time);
    must(X509_CRL_sign(crl.get(), key_of(issuer).get(), EVP_sha256()) > 0, "X509_CRL_sign");
    const BioPtr bio = memory();
    must(PEM_write_bio_X509_CRL(bio.get(), crl.get()) == 1, "PEM_write_bio_X509_CRL");
    return text_of(bio.get());
}

std::string encrypt_key(const TestCertificate& certificate, const std::string& password) {
    const BioPtr bio = memory();
    must(PEM_write_bio_PKCS8PrivateKey(bio.get(), key_of(certificate).get(), EVP_aes_128_cbc(),
                                       password.data(), static_cast<int>(password.size()), nullptr,
                                       nullptr) == 1,
         "PEM_write_bio_PKCS8PrivateKey");
    return text_of(bio.get());
}

const TestCertificate& test_authority() {
    static const TestCertificate authority =
        make_certificate({.common_name = "Test Authority", .authority = true});
    return authority;
}

TestCertificate certificate_for(const std::string& name, unsigned rsa_bits) {
    return make_certificate({.common_name = name, .names = {"DNS:" + name}, .rsa_bits = rsa_bits},
                            &test_authority());
}

}  // namespace penstock::net::tls
