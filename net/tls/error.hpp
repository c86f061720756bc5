#pragma once

#include <string>
#include <string_view>

struct ssl_st;
struct x509_store_ctx_st;

namespace penstock::net::tls {

/// Why OpenSSL refuses to go on.
struct Trouble {
    std::string text{};         // `certificate has expired (a.example)`; "" = it says nothing
    bool unknown_name = false;  // refuse_name() was called
    bool certificate = false;   // the peer's certificate is missing or was refused
};

/// What this thread's queue of errors says about the last call with `ssl`; the queue is empty then.
[[nodiscard]] Trouble take_trouble(ssl_st* ssl);

/// The queue's last reason, for errors that concern no connection; the queue is empty then.
[[nodiscard]] std::string take_reason();

/// To be called inside OpenSSL's callbacks: leaves a note for take_trouble().
void refuse_name(std::string_view name) noexcept;
/// As OpenSSL's callback for certificates: notes whose certificate it is that is refused.
int note_refused(int ok, x509_store_ctx_st* verification) noexcept;

}  // namespace penstock::net::tls
