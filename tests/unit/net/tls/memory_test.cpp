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
    std::ptrdiff_t per_idle_server() {
        constexpr int count = 50;
        std::vector<std::unique_ptr<End>> idle;
        establish();
        std::ptrdiff_t before = 0;
        for (int i = 0; i <= count; ++i) {
            if (i == 1) before = held;  // what is made once is there
            establish();
            EXPECT_EQ(pass(*client, *server, std::string(10000, 'x')).size(), 10000U);
            EXPECT_EQ(pass(*server, *client, std::string(10000, 'x')).size(), 10000U);
            std::array<std::byte, 64> buffer;
            while (server->stream->recv(buffer).ok()) {
            }
            idle.push_back(std::move(server));
        }
        client.reset();
        const std::ptrdiff_t all = held - before;
        RecordProperty("bytes", std::to_string(all / count));
        return all / count;
    }
};

TEST_F(TlsMemoryTest, an_idle_server_stream_is_small) {
    ASSERT_TRUE(counts);
    server_options.session_cache = 0;
    const auto tls13 = per_idle_server();
    server_options.max_version = Version::tls12;
    server_context = nullptr;
    const auto tls12 = per_idle_server();
    std::printf("bytes of OpenSSL per idle stream: %td (TLS 1.3), %td (TLS 1.2)\n", tls13, tls12);
    EXPECT_GT(tls13, 4000) << "nothing was counted";
    EXPECT_LT(tls13, 14000);
    EXPECT_LT(tls12, 14000);
    EXPECT_LE(sizeof(Stream), 128U);
}

}  // namespace
}  // namespace penstock::net::tls
