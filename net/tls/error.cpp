#include "net/tls/error.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "net/tls/certificates.hpp"

namespace penstock::net::tls {

namespace {

// Our own entries in OpenSSL's queue of errors: it is what callbacks can leave something in.
constexpr int name_note = 100;
constexpr int certificate_note = 101;

struct Entry {
    unsigned long code = 0;
    std::string data{};
};

Entry take_entry() {
    const char* data = nullptr;
    int flags = 0;
    Entry entry;
    entry.code = ERR_get_error_all(nullptr, nullptr, nullptr, &data, &flags);
    if (data != nullptr && (flags & ERR_TXT_STRING) != 0) entry.data = data;
    return entry;
}

std::string reason(unsigned long code) {
    const char* text = code == 0 ? nullptr : ERR_reason_error_string(code);
    return text == nullptr ? "unknown error" : text;
}

bool concerns_certificate(unsigned long code) noexcept {
    return ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED ||
           ERR_GET_REASON(code) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE;
}

std::string refusal(const SSL* ssl, const std::string& whose) {
    const long result = SSL_get_verify_result(ssl);
    std::string text = result == X509_V_ERR_APPLICATION_VERIFICATION
                           ? "none of its names is allowed"
                           : X509_verify_cert_error_string(result);
    return whose.empty() ? text : text + " (" + whose + ")";
}

}  // namespace

Trouble take_trouble(ssl_st* ssl) {
    Trouble trouble;
    std::string whose;
    unsigned long first = 0;  // of the TLS layer: what came of it says less
    unsigned long last = 0;
    for (Entry entry = take_entry(); entry.code != 0; entry = take_entry()) {
        const int library = ERR_GET_LIB(entry.code);
        if (library == ERR_LIB_USER) {
            if (ERR_GET_REASON(entry.code) == name_note) {
                trouble.unknown_name = true;
                trouble.text = entry.data.empty() ? "no name was asked for"
                                                  : "no certificate for " + entry.data;
            } else {
                whose = entry.data;
            }
            continue;
        }
        last = entry.code;
        if (library != ERR_LIB_SSL) continue;
        if (first == 0) first = entry.code;
        trouble.certificate = trouble.certificate || concerns_certificate(entry.code);
    }
    if (trouble.unknown_name) return trouble;
    const unsigned long code = first != 0 ? first : last;
    if (trouble.certificate && SSL_get_verify_result(ssl) != X509_V_OK)
        trouble.text = refusal(ssl, whose);
    else if (code != 0)
        trouble.text = reason(code);
    return trouble;
}

std::string take_reason() {
    std::string text = reason(ERR_peek_last_error());
    ERR_clear_error();
    return text;
}

void refuse_name(std::string_view name) noexcept {
    ERR_raise_data(ERR_LIB_USER, name_note, "%.*s", static_cast<int>(name.size()), name.data());
}

int note_refused(int ok, x509_store_ctx_st* verification) noexcept {
    if (ok == 1) return 1;
    X509* certificate = X509_STORE_CTX_get_current_cert(verification);
    if (certificate != nullptr)
        ERR_raise_data(ERR_LIB_USER, certificate_note, "%.128s", short_name(certificate).c_str());
    return ok;
}

}  // namespace penstock::net::tls
