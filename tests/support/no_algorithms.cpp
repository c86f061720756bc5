// Preloaded into a program: leaves its OpenSSL without any algorithm, as a broken installation
// does. Whoever names one provider gets no other, and this one has none.
#include <openssl/provider.h>

namespace {

[[gnu::constructor]] void leave_no_algorithm() { OSSL_PROVIDER_load(nullptr, "base"); }

}  // namespace
