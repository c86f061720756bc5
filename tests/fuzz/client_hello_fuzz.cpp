// Any bytes, in pieces of any size, give one result; and the same name and protocols as OpenSSL's
// server finds in them, or none where it refuses them.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "net/client_hello.hpp"

namespace {

using penstock::net::ClientHello;
using penstock::net::ClientHelloReader;
using Status = ClientHelloReader::Status;

// OpenSSL's own limit (CLIENT_HELLO_MAX_LENGTH), and room for the headers of records.
constexpr std::size_t cap = 131396 * 2;

void require(bool condition, const char* what) {
    if (condition) return;
    std::fputs(what, stderr);
    std::abort();
}

// ------------------------------------------------------------------ OpenSSL's view

struct Seen {
    bool hello = false;                 // it is a ClientHello
    std::optional<std::string> alpn{};  // the extension's bytes
    bool extensions = false;            // and every extension is well-formed
    std::string name{};
    int reason = 0;  // of its refusal
};

int on_hello(SSL* ssl, int*, void* argument) {
    auto& seen = *static_cast<Seen*>(argument);
    seen.hello = true;
    const unsigned char* data = nullptr;
    std::size_t size = 0;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &data,
                                  &size) == 1)
        seen.alpn.emplace(reinterpret_cast<const char*>(data), size);
    return SSL_CLIENT_HELLO_SUCCESS;
}

// Called when all extensions were read, whether or not there is a name. Nothing beyond is of
// interest.
int on_name(SSL* ssl, int*, void* argument) {
    auto& seen = *static_cast<Seen*>(argument);
    seen.extensions = true;
    if (const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)) seen.name = name;
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

SSL_CTX* make_context() {
    SSL_CTX* const context = SSL_CTX_new(TLS_server_method());
    require(context != nullptr, "SSL_CTX_new\n");
    SSL_CTX_set_security_level(context, 0);
    SSL_CTX_set_min_proto_version(context, 0);
    SSL_CTX_set_cipher_list(context, "ALL:eNULL:@SECLEVEL=0");
    using NameCallback = int (*)(SSL*, int*, void*);
    const NameCallback callback = on_name;
    SSL_CTX_callback_ctrl(context, SSL_CTRL_SET_TLSEXT_SERVERNAME_CB,
                          reinterpret_cast<void (*)()>(callback));
    return context;
}

Seen ask_openssl(std::span<const std::byte> bytes, bool whole_hello) {
    static SSL_CTX* const context = make_context();
    Seen seen;
    SSL_CTX_set_client_hello_cb(context, on_hello, &seen);
    SSL_CTX_ctrl(context, SSL_CTRL_SET_TLSEXT_SERVERNAME_ARG, 0, &seen);
    const std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(context), SSL_free);
    BIO* const in = BIO_new(BIO_s_mem());
    BIO_write(in, bytes.data(), static_cast<int>(bytes.size()));
    // It waits for the end of the record in which the hello ends.
    static const std::string rest(16384, '\0');
    if (whole_hello) BIO_write(in, rest.data(), static_cast<int>(rest.size()));
    SSL_set_bio(ssl.get(), in, BIO_new(BIO_s_mem()));
    ERR_clear_error();
    SSL_accept(ssl.get());
    seen.reason = ERR_GET_REASON(ERR_peek_error());
    ERR_clear_error();
    return seen;
}

// ------------------------------------------------------------------ ours

ClientHelloReader read_in_pieces(std::span<const std::byte> bytes, std::size_t size) {
    ClientHelloReader reader(cap);
    while (!bytes.empty() && reader.status() == Status::need_more) {
        const auto piece = bytes.first(std::min(size, bytes.size()));
        // A copy of exactly this size: a sanitizer then sees every read beyond the end.
        const std::string copy(reinterpret_cast<const char*>(piece.data()), piece.size());
        reader.feed(std::as_bytes(std::span(copy)));
        bytes = bytes.subspan(piece.size());
    }
    return reader;
}

std::string alpn_extension(const ClientHello& hello) {
    std::string list;
    for (const auto& name : hello.alpn) list += static_cast<char>(name.size()) + name;
    return std::string{static_cast<char>(list.size() >> 8 & 0xff),
                       static_cast<char>(list.size() & 0xff)} +
           list;
}

bool only_host_characters(std::string_view name) {
    return std::ranges::all_of(name, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               std::string_view("-._").contains(c);
    });
}

bool only_digits_and_dots(std::string_view name) {
    return name.find_first_not_of("0123456789.") == std::string_view::npos;
}

// Whether `ours` is what becomes of `name`.
bool same_name(std::string name, const std::string& ours) {
    std::ranges::transform(name, name.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    if (name == ours || name == ours + '.') return true;
    // No host name: other bytes, an address, an empty or too long label.
    const bool long_label = [&name] {
        std::size_t label = 0;
        return std::ranges::any_of(
            name, [&label](char c) { return (label = c == '.' ? 0 : label + 1) > 63; });
    }();
    return ours.empty() && (!only_host_characters(name) || only_digits_and_dots(name) ||
                            name.starts_with('.') || name.contains("..") || long_label);
}

// What ours refuses and OpenSSL does not: it skips empty records and alerts before the hello's end.
bool stricter_on_purpose(const ClientHelloReader& ours) {
    return ours.status() == Status::not_tls || ours.problem() == "a record without bytes" ||
           ours.problem() == "a record of another type interrupts the hello";
}

// What OpenSSL refuses and ours does not look at.
bool openssl_is_stricter(int reason) {
    return reason == SSL_R_BAD_EXTENSION;  // any extension twice, or in the wrong place
}

void compare(const ClientHelloReader& ours, const Seen& theirs) {
    if (theirs.extensions) {
        if (stricter_on_purpose(ours)) return;
        require(ours.status() == Status::complete, "refused what OpenSSL takes\n");
        require(same_name(theirs.name, ours.hello().server_name), "another name\n");
    }
    if (ours.status() != Status::complete) return;
    if (!theirs.hello) {
        if (!openssl_is_stricter(theirs.reason))
            std::fprintf(stderr, "OpenSSL's reason: %d\n", theirs.reason);
        require(openssl_is_stricter(theirs.reason), "took what OpenSSL refuses\n");
        return;
    }
    require(ours.hello().alpn.empty() == !theirs.alpn, "ALPN on one side\n");
    if (theirs.alpn) require(alpn_extension(ours.hello()) == *theirs.alpn, "other protocols\n");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = std::as_bytes(std::span(data, size));
    const auto whole = read_in_pieces(bytes, std::max<std::size_t>(size, 1));
    require(whole.problem().empty() ==
                (whole.status() == Status::need_more || whole.status() == Status::complete),
            "no problem, or one\n");
    for (const std::size_t piece : {1U, 7U}) {
        const auto again = read_in_pieces(bytes, piece);
        require(again.status() == whole.status() && again.hello() == whole.hello() &&
                    again.problem() == whole.problem(),
                "pieces change the result\n");
    }
    compare(whole, ask_openssl(bytes, whole.status() == Status::complete));
    return 0;
}
