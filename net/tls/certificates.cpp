#include "net/tls/certificates.hpp"

#include <algorithm>
#include <climits>
#include <cstring>
#include <ctime>
#include <new>
#include <utility>

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/clock.hpp"
#include "net/tls/error.hpp"
#include "net/tls/names.hpp"

namespace penstock::net::tls {

namespace {

using GeneralNames = std::unique_ptr<GENERAL_NAMES, FreeWith<GENERAL_NAMES_free>>;

BioPtr reader(const std::string& text) {
    BioPtr bio(BIO_new_mem_buf(text.data(),
                               static_cast<int>(std::min<std::size_t>(text.size(), INT_MAX))));
    if (!bio) throw std::bad_alloc();
    return bio;
}

// The end of a PEM file shows as a missing start.
bool at_end() noexcept {
    const unsigned long code = ERR_peek_last_error();
    return ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
}

int no_password(char*, int, int, void*) noexcept { return -1; }

int give_password(char* into, int size, int, void* argument) noexcept {
    const auto& password = *static_cast<const std::string*>(argument);
    if (std::cmp_greater(password.size(), size)) return -1;
    std::memcpy(into, password.data(), password.size());
    return static_cast<int>(password.size());
}

// A block of a PEM file, decoded. PEM_read_bio_X509() and PEM_read_bio_PrivateKey() leave the text
// of keys in freed memory.
struct PemBlock {
    unsigned char* data = nullptr;
    long size = 0;
    char* label = nullptr;

    PemBlock() = default;
    PemBlock(const PemBlock&) = delete;
    PemBlock& operator=(const PemBlock&) = delete;
    ~PemBlock() { drop(); }

    /// The next one of that kind; false if there is none, or it is broken.
    bool read(BIO* bio, const char* kind, pem_password_cb* password, const void* argument) {
        drop();
        return PEM_bytes_read_bio_secmem(&data, &size, &label, kind, bio, password,
                                         const_cast<void*>(argument)) == 1;
    }
    [[nodiscard]] std::string_view name() const noexcept { return label; }

private:
    void drop() noexcept {
        OPENSSL_secure_clear_free(data, static_cast<std::size_t>(size));
        OPENSSL_secure_free(label);
        data = nullptr;
        label = nullptr;
    }
};

std::expected<std::vector<CertificatePtr>, std::string> read_certificates(const std::string& pem,
                                                                          const std::string& file) {
    ERR_clear_error();
    const BioPtr bio = reader(pem);
    std::vector<CertificatePtr> all;
    // The key may stand in the same file: what is read on the way is wiped.
    for (PemBlock block; block.read(bio.get(), PEM_STRING_X509, no_password, nullptr);) {
        const unsigned char* at = block.data;
        X509* certificate = d2i_X509(nullptr, &at, block.size);
        if (certificate == nullptr) break;
        all.emplace_back(certificate);
    }
    const bool ended = at_end();
    const std::string reason = take_reason();
    if (!ended)
        return std::unexpected(file + ": certificate " + std::to_string(all.size() + 1) +
                               " cannot be read: " + reason);
    if (all.empty()) return std::unexpected(file + ": not a PEM certificate");
    return all;
}

EVP_PKEY* read_key(const std::string& pem, pem_password_cb* password, const void* argument) {
    const BioPtr bio = reader(pem);
    PemBlock block;
    if (!block.read(bio.get(), PEM_STRING_EVP_PKEY, password, argument)) return nullptr;
    if (block.name() == PEM_STRING_PKCS8) {
        const BioPtr der(BIO_new_mem_buf(block.data, static_cast<int>(block.size)));
        if (!der) throw std::bad_alloc();
        return d2i_PKCS8PrivateKey_bio(der.get(), nullptr, password, const_cast<void*>(argument));
    }
    const unsigned char* at = block.data;
    return d2i_AutoPrivateKey(nullptr, &at, block.size);
}

bool is_encrypted(const std::string& pem) noexcept {
    return pem.contains("BEGIN ENCRYPTED PRIVATE KEY") || pem.contains("Proc-Type: 4,ENCRYPTED");
}

std::expected<KeyPtr, std::string> load_key(const KeyPair& source) {
    const std::string& file = source.key_file.empty() ? source.cert_file : source.key_file;
    const std::string& pem = source.key_pem.empty() ? source.cert_pem : source.key_pem;
    KeyPtr key;
    ERR_clear_error();
    if (!is_encrypted(pem)) {
        key.reset(read_key(pem, no_password, nullptr));
        if (!key) {
            const std::string reason = take_reason();
            return std::unexpected(file + (pem.contains("PRIVATE KEY-----")
                                               ? ": the key cannot be read: " + reason
                                               : ": has no PEM private key"));
        }
    }
    for (auto next = source.passwords.begin(); !key && next != source.passwords.end(); ++next)
        key.reset(read_key(pem, give_password, &*next));
    ERR_clear_error();
    if (key) return key;
    return std::unexpected(
        file + (source.passwords.empty()
                    ? ": the key is encrypted; name the file of its password (key_password_file)"
                    : ": none of the passwords in key_password_file opens the key"));
}

// What has no end by RFC 5280 ends in the year 9999, which is beyond the clock.
SystemTime time_of(const ASN1_TIME* time) noexcept {
    std::tm parts{};
    if (ASN1_TIME_to_tm(time, &parts) != 1) return {};
    constexpr auto last = std::chrono::floor<std::chrono::seconds>(SystemTime::max());
    return std::min(last, std::chrono::sys_seconds(std::chrono::seconds(::timegm(&parts))));
}

std::string_view text_of(const ASN1_STRING* string) noexcept {
    return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(string)),
            static_cast<std::size_t>(ASN1_STRING_length(string))};
}

std::string address_text(std::string_view bytes) {
    char text[INET6_ADDRSTRLEN];
    const int family = bytes.size() == 4 ? AF_INET : bytes.size() == 16 ? AF_INET6 : 0;
    if (family == 0 || ::inet_ntop(family, bytes.data(), text, sizeof text) == nullptr) return {};
    return text;
}

GeneralNames alternative_names(X509* certificate) {
    return GeneralNames(static_cast<GENERAL_NAMES*>(
        X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
}

template <typename Visit>
void for_each_name(X509* certificate, Visit visit) {
    const GeneralNames names = alternative_names(certificate);
    for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
        int type = 0;
        const auto* value = static_cast<const ASN1_STRING*>(
            GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), i), &type));
        if (type == GEN_DNS || type == GEN_IPADD || type == GEN_URI || type == GEN_EMAIL)
            visit(type, text_of(value));
    }
}

// A name with a NUL inside, or one that is a pattern itself, matches nothing.
bool dns_name_allowed(std::string_view name, const std::string& allowed) {
    return !name.starts_with('*') && name.find('\0') == std::string_view::npos &&
           name_matches(canonical_name(allowed), canonical_name(name));
}

std::string text_of(const X509_NAME* name) {
    const BioPtr bio(BIO_new(BIO_s_mem()));
    if (!bio) throw std::bad_alloc();
    X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253);
    std::string text(BIO_ctrl_pending(bio.get()), '\0');
    if (!text.empty()) BIO_read(bio.get(), text.data(), static_cast<int>(text.size()));
    return text;
}

RevocationInfo describe_list(const X509_CRL* list, const std::string& file) {
    RevocationInfo info{.file = file, .issuer = text_of(X509_CRL_get_issuer(list))};
    info.last_update = time_of(X509_CRL_get0_lastUpdate(list));
    if (const ASN1_TIME* next = X509_CRL_get0_nextUpdate(list)) info.next_update = time_of(next);
    return info;
}

bool same_address(std::string_view bytes, const std::string& allowed) {
    unsigned char raw[16];
    const int family = bytes.size() == 4 ? AF_INET : AF_INET6;
    return (bytes.size() == 4 || bytes.size() == 16) &&
           ::inet_pton(family, allowed.c_str(), raw) == 1 &&
           std::memcmp(raw, bytes.data(), bytes.size()) == 0;
}

}  // namespace

std::expected<LoadedPair, std::string> load_pair(const KeyPair& source) {
    auto certificates = read_certificates(source.cert_pem, source.cert_file);
    if (!certificates) return std::unexpected(certificates.error());
    auto key = load_key(source);
    if (!key) return std::unexpected(key.error());
    LoadedPair pair;
    pair.certificate = std::move(certificates->front());
    pair.key = std::move(*key);
    if (X509_check_private_key(pair.certificate.get(), pair.key.get()) != 1) {
        ERR_clear_error();
        const std::string& file = source.key_file.empty() ? source.cert_file : source.key_file;
        return std::unexpected(file + ": the key does not belong to the certificate in " +
                               source.cert_file);
    }
    pair.chain.reset(sk_X509_new_null());
    if (!pair.chain) throw std::bad_alloc();
    for (auto next = certificates->begin() + 1; next != certificates->end(); ++next)
        if (sk_X509_push(pair.chain.get(), next->release()) <= 0) throw std::bad_alloc();
    pair.info = describe(pair.certificate.get(), source.cert_file);
    return pair;
}

namespace {

using Lists = std::vector<CrlPtr>;

std::expected<Lists, std::string> read_lists(const std::string& file, const std::string& pem) {
    Lists lists;
    if (pem.empty()) return lists;
    ERR_clear_error();
    const BioPtr bio = reader(pem);
    while (CrlPtr list{PEM_read_bio_X509_CRL(bio.get(), nullptr, no_password, nullptr)})
        lists.push_back(std::move(list));
    const bool ended = at_end();
    const std::string reason = take_reason();
    if (!lists.empty() && ended) return lists;
    return std::unexpected(file + ": not a PEM list of revoked certificates" +
                           (ended ? "" : ": " + reason));
}

std::vector<RevocationInfo> add_lists(X509_STORE* store, const Lists& lists,
                                      const std::string& file) {
    std::vector<RevocationInfo> infos;
    for (const CrlPtr& list : lists) {
        if (X509_STORE_add_crl(store, list.get()) != 1) throw std::bad_alloc();
        infos.push_back(describe_list(list.get(), file));
    }
    if (!lists.empty())
        X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    return infos;
}

bool is_list_of(X509* authority, X509_CRL* list) noexcept {
    const bool is =
        X509_NAME_cmp(X509_get_subject_name(authority), X509_CRL_get_issuer(list)) == 0 &&
        X509_CRL_verify(list, X509_get0_pubkey(authority)) == 1;
    ERR_clear_error();
    return is;
}

}  // namespace

std::expected<std::vector<RevocationInfo>, std::string> add_revocations(X509_STORE* store,
                                                                        const std::string& file,
                                                                        const std::string& pem) {
    const auto lists = read_lists(file, pem);
    if (!lists) return std::unexpected(lists.error());
    return add_lists(store, *lists, file);
}

std::expected<Trust, std::string> fill_store(X509_STORE* store, const TrustSource& source) {
    auto authorities = read_certificates(source.ca_pem, source.ca_file);
    if (!authorities) return std::unexpected(authorities.error());
    for (const auto& authority : *authorities)
        if (X509_STORE_add_cert(store, authority.get()) != 1) throw std::bad_alloc();
    const auto lists = read_lists(source.crl_file, source.crl_pem);
    if (!lists) return std::unexpected(lists.error());
    Trust trust{*std::move(authorities), add_lists(store, *lists, source.crl_file)};
    if (lists->empty()) return trust;
    for (const auto& authority : trust.authorities)
        if (std::ranges::none_of(*lists, [&](const CrlPtr& list) {
                return is_list_of(authority.get(), list.get());
            }))
            trust.unlisted.push_back(short_name(authority.get()));
    return trust;
}

SystemTime first_end(const STACK_OF(X509) * chain) noexcept {
    SystemTime first = SystemTime::max();
    for (int i = 0; i < sk_X509_num(chain); ++i)
        first = std::min(first, time_of(X509_get0_notAfter(sk_X509_value(chain, i))));
    return first;
}

SystemTime first_end(const std::vector<RevocationInfo>& revocations) noexcept {
    SystemTime first = SystemTime::max();
    for (const auto& list : revocations) first = std::min(first, list.next_update);
    return first;
}

namespace {

void describe_authority(X509* authority, const std::string& file,
                        std::vector<CertificateInfo>& infos, std::vector<std::string>& warnings) {
    infos.push_back(describe(authority, file));
    if (has_expired(authority))
        warnings.push_back(file + ": the certificate of " + short_name(authority) + " has expired");
}

}  // namespace

void warn_of_expired(const std::vector<RevocationInfo>& revocations,
                     std::vector<std::string>& warnings) {
    for (const auto& list : revocations)
        if (list.next_update <= wall_now())
            warnings.push_back(list.file + ": the list of revocations of " + list.issuer +
                               " has expired: whoever shows a certificate that it is about is "
                               "refused");
}

void describe_trust(const Trust& trust, const TrustSource& source,
                    std::vector<CertificateInfo>& infos, std::vector<std::string>& warnings) {
    constexpr std::size_t most = 3;  // a bundle may have hundreds
    for (const auto& authority : trust.authorities)
        describe_authority(authority.get(), source.ca_file, infos, warnings);
    warn_of_expired(trust.revocations, warnings);
    if (trust.unlisted.empty()) return;
    std::string names;
    for (std::size_t i = 0; i < std::min(most, trust.unlisted.size()); ++i)
        names += (i == 0 ? "" : ", ") + trust.unlisted[i];
    if (trust.unlisted.size() > most)
        names += " and " + std::to_string(trust.unlisted.size() - most) + " more";
    warnings.push_back(source.crl_file + ": has no list of " + names + " of " + source.ca_file +
                       ": whoever shows a certificate of it is refused");
}

CertificateInfo describe(X509* certificate, const std::string& file) {
    CertificateInfo info{.file = file, .subject = subject_of(certificate)};
    for_each_name(certificate, [&info](int type, std::string_view value) {
        if (type == GEN_DNS) info.names.emplace_back(value);
        if (type == GEN_IPADD) info.names.push_back(address_text(value));
    });
    info.not_before = time_of(X509_get0_notBefore(certificate));
    info.not_after = time_of(X509_get0_notAfter(certificate));
    return info;
}

bool has_expired(X509* certificate) noexcept {
    return X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0;
}

namespace {

void add_warnings(X509* certificate, const CertificateInfo& info,
                  std::vector<std::string>& warnings) {
    // Mozilla's guideline 6.0: browsers refuse those that last much longer.
    constexpr auto usual_lifetime = std::chrono::hours(24 * 366);
    const std::string what = info.file + ": the certificate of " + short_name(certificate) + " ";
    if (has_expired(certificate)) warnings.push_back(what + "has expired");
    if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0)
        warnings.push_back(what + "is not yet valid");
    if (info.not_after - info.not_before > usual_lifetime)
        warnings.push_back(what + "lasts longer than 366 days, which many clients do not accept");
    const EVP_PKEY* key = X509_get0_pubkey(certificate);
    if (key != nullptr && EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA &&
        EVP_PKEY_get_bits(key) < 2048)
        warnings.push_back(what + "has a weak key: RSA of " +
                           std::to_string(EVP_PKEY_get_bits(key)) + " bits");
}

}  // namespace

void describe_pair(const LoadedPair& pair, std::vector<CertificateInfo>& infos,
                   std::vector<std::string>& warnings) {
    infos.push_back(pair.info);
    add_warnings(pair.certificate.get(), pair.info, warnings);
    for (int i = 0; i < sk_X509_num(pair.chain.get()); ++i)
        describe_authority(sk_X509_value(pair.chain.get(), i), pair.info.file, infos, warnings);
}

std::string subject_of(X509* certificate) { return text_of(X509_get_subject_name(certificate)); }

std::string common_name_of(X509* certificate) {
    const X509_NAME* name = X509_get_subject_name(certificate);
    int last = -1;  // the most specific one
    for (int i = X509_NAME_get_index_by_NID(name, NID_commonName, -1); i >= 0;
         i = X509_NAME_get_index_by_NID(name, NID_commonName, i))
        last = i;
    if (last < 0) return {};
    unsigned char* utf8 = nullptr;
    const int size =
        ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, last)));
    if (size < 0) {
        ERR_clear_error();
        return {};
    }
    std::string text(reinterpret_cast<const char*>(utf8), static_cast<std::size_t>(size));
    OPENSSL_free(utf8);
    return text;
}

std::string first_name_of(X509* certificate) {
    std::string name;
    for_each_name(certificate, [&name](int type, std::string_view value) {
        if (!name.empty()) return;
        switch (type) {
            case GEN_DNS: name = "DNS:"; break;
            case GEN_URI: name = "URI:"; break;
            case GEN_EMAIL: name = "email:"; break;
            default: name = "IP:" + address_text(value); return;
        }
        name += value;
    });
    return name;
}

std::string short_name(X509* certificate) {
    std::string name = common_name_of(certificate);
    for_each_name(certificate, [&name](int type, std::string_view value) {
        if (name.empty() && type == GEN_DNS) name = value;
    });
    if (name.empty()) name = subject_of(certificate);
    return name.empty() ? first_name_of(certificate) : name;
}

bool bears_one_of(X509* certificate, const std::vector<std::string>& allowed) {
    bool found = false;
    for_each_name(certificate, [&](int type, std::string_view value) {
        for (const auto& name : allowed) {
            if (type == GEN_DNS)
                found = found || dns_name_allowed(value, name);
            else if (type == GEN_IPADD)
                found = found || same_address(value, name);
            else
                found = found || value == name;
        }
    });
    return found;
}

}  // namespace penstock::net::tls
