#include "net/tls/options.hpp"

#include "base/secret.hpp"

namespace penstock::net::tls {

void wipe(KeyPair& pair) noexcept {
    wipe(pair.key_pem);
    // A file may hold the certificate and its key.
    wipe(pair.cert_pem);
    for (auto& password : pair.passwords) wipe(password);
    pair.passwords.clear();
}

}  // namespace penstock::net::tls
