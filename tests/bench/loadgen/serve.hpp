#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "tests/bench/loadgen/loop.hpp"
#include "tests/bench/loadgen/sockets.hpp"

namespace penstock::bench {

/// The backend behind the proxy: every connection says in its first header which Service it wants.
class Backend final : public Handler {
public:
    /// Listens on 127.0.0.1:port; throws std::system_error.
    Backend(Loop& loop, std::uint16_t port);
    ~Backend();

    [[nodiscard]] std::uint16_t port() const { return local_port(listener_.get()); }
    [[nodiscard]] std::uint64_t accepted() const { return accepted_; }
    /// Connections that spoke something else than the protocol, or sank wrong bytes.
    [[nodiscard]] std::uint64_t errors() const { return errors_; }

    void on_ready(std::uint32_t events) override;

private:
    class Connection;

    void release(int fd);

    Loop& loop_;
    UniqueFd listener_;
    std::unordered_map<int, std::unique_ptr<Connection>> connections_;
    std::vector<std::byte> scratch_;
    std::uint64_t accepted_ = 0;
    std::uint64_t errors_ = 0;
};

}  // namespace penstock::bench
