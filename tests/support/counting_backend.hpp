#pragma once

#include <atomic>
#include <cstddef>
#include <mutex>
#include <set>
#include <string>

#include "tests/support/chaos_backend.hpp"

namespace penstock::test {

/// Echoes, and knows the most connections that it ever had at a time: what a limit has to hold. A
/// connection counts from its accept() until the kernel has the proxy's FIN or reset, not until
/// the echo's thread has noticed.
class CountingBackend {
public:
    explicit CountingBackend(const std::string& address = "127.0.0.1:0");

    [[nodiscard]] std::string text() const { return backend_.text(); }
    [[nodiscard]] unsigned accepted() const { return backend_.accepted(); }
    [[nodiscard]] std::size_t peak() const { return peak_; }
    /// Connections that are open now.
    [[nodiscard]] std::size_t open();
    ChaosBackend& backend() { return backend_; }

private:
    void serve(Socket& socket, const ChaosBackend& backend);
    [[nodiscard]] std::size_t count_open();

    std::mutex mutex_;
    std::set<int> sockets_;
    std::atomic<std::size_t> peak_ = 0;
    ChaosBackend backend_;
};

}  // namespace penstock::test
