#include <cstdlib>

#include <malloc.h>
#include <openssl/crypto.h>

#include "tests/unit/net/tls/tls_pair.hpp"

namespace penstock::net::tls {
namespace {

// What OpenSSL holds, in bytes. One thread.
std::ptrdiff_t held = 0;

void* counted(void* block) noexcept {
    if (block != nullptr) held += static_cast<std::ptrdiff_t>(::malloc_usable_size(block));
    return block;
}
void uncounted(void* block) noexcept {
    if (block != nullptr) held -= static_cast<std::ptrdiff_t>(::malloc_usable_size(block));
}

void* allocate(std::size_t size, const char*, int) { return counted(std::malloc(size)); }
void* reallocate(void* block, std::size_t size, const char*, int) {
    uncounted(block);
    return counted(std::realloc(block, size));
}
void release(void* block, const char*, int) {
    uncounted(block);
    std::free(block);
}

// OpenSSL accepts this only before it has allocated anything.
const bool counts = CRYPTO_set_mem_functions(allocate, reallocate, release) == 1;

class TlsMemoryTest : public TlsTest {
protected:
    enum class After { handshake, answer };

    // Whoever ends with a read in vain has given the buffers back; an idle proxy does not read.
    void converse(const std::unique_ptr<End>& own, const std::unique_ptr<End>& peer) {
        EXPECT_EQ(pass(*peer, *own, std::string(10000, 'x')).size(), 10000U);
        EXPECT_EQ(pass(*own, *peer, std::string(10000, 'x')).size(), 10000U);
    }

    // `own` is the end that is measured, `server` or `client`; the other one is gone by then.
    std::ptrdiff_t per_idle_end(std::unique_ptr<End>& own, std::unique_ptr<End>& peer, After last) {
        constexpr int count = 50;
        std::vector<std::unique_ptr<End>> idle;
        establish();
        std::ptrdiff_t before = 0;
        for (int i = 0; i <= count; ++i) {
            if (i == 1) before = held;  // what is made once is there
            establish();
            if (last == After::answer) converse(own, peer);
            idle.push_back(std::move(own));
        }
        peer.reset();
        const std::ptrdiff_t all = held - before;
        return all / count;
    }

    // Within the bounds, on either version of TLS.
    void expect_small(std::unique_ptr<End>& own, std::unique_ptr<End>& peer, std::ptrdiff_t most) {
        ASSERT_TRUE(counts);
        server_options.session_cache = 0;
        for (const Version version : {Version::tls13, Version::tls12}) {
            server_options.max_version = version;
            server_context = nullptr;
            const auto fresh = per_idle_end(own, peer, After::handshake);
            const auto used = per_idle_end(own, peer, After::answer);
            std::printf("bytes of OpenSSL per idle stream: %td, after an answer %td\n", fresh,
                        used);
            EXPECT_GT(fresh, 4000) << "nothing was counted";
            EXPECT_LT(fresh, most);
            EXPECT_LT(used, most);
        }
    }
};

TEST_F(TlsMemoryTest, an_idle_server_stream_is_small) {
    expect_small(server, client, 14000);
    EXPECT_LE(sizeof(Stream), 128U);
}

// It keeps the server's certificate, with its chain.
TEST_F(TlsMemoryTest, an_idle_client_stream_is_small) { expect_small(client, server, 19000); }

}  // namespace
}  // namespace penstock::net::tls
