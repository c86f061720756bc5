#include "net/tls/options.hpp"

#include <openssl/crypto.h>

namespace penstock::net::tls {

void wipe(std::string& secret) noexcept {
    OPENSSL_cleanse(secret.data(), secret.size());
    secret.clear();
}

void wipe(KeyPair& pair) noexcept {
    wipe(pair.key_pem);
    // A file may hold the certificate and its key.
    wipe(pair.cert_pem);
    for (auto& password : pair.passwords) wipe(password);
    pair.passwords.clear();
}

}  // namespace penstock::net::tls
