#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "net/unique_fd.hpp"

namespace penstock::net {

/// One message between two processes.
struct FdMessage {
    std::string bytes{};
    std::vector<UniqueFd> fds{};
};

/// How much one message may bring. Whoever sends more is not believed.
struct FdLimits {
    std::size_t bytes = std::size_t{64} << 20;
    std::size_t fds = 65'536;
};

struct FdChannelError {
    enum class Kind : std::uint8_t {
        ended,      // the other side is gone, and nothing of a message was left
        timed_out,
        malformed,  // what came is no message, or a part of one
        failed,     // the kernel, or close() of this side
    };
    Kind kind = Kind::failed;
    std::string message{};  // half a sentence: `the other process has ended`
};

// A frame on a unix stream socket, written and read step by step as the socket allows. It is a
// header (mark, number of bytes, number of descriptors; the byte order of the machine, which both
// sides share), then one byte for each 253 descriptors, which carries them, then the bytes. A step
// ends with true when the frame is complete, with false when the socket has to be waited for. There
// may be secrets in it: no copies stay behind in freed memory.

/// The descriptors have to stay open until the frame is written.
class FdFrameWriter {
public:
    FdFrameWriter(std::string_view bytes, const std::vector<int>& fds);
    ~FdFrameWriter();
    FdFrameWriter(const FdFrameWriter&) = delete;
    FdFrameWriter& operator=(const FdFrameWriter&) = delete;

    [[nodiscard]] std::expected<bool, FdChannelError> step(int socket);
    /// The other side has seen a part of it: nothing else may be written to this socket.
    [[nodiscard]] bool begun() const noexcept { return sent_ > 0; }

private:
    std::string data_;  // header, carriers, bytes
    std::vector<int> fds_;
    std::size_t sent_ = 0;
};

/// Descriptors that came are closed with it unless a message has taken them.
class FdFrameReader {
public:
    explicit FdFrameReader(const FdLimits& limits = {}) : limits_(limits) {}

    [[nodiscard]] std::expected<bool, FdChannelError> step(int socket);
    /// After step() was true; the reader is ready for the next frame.
    [[nodiscard]] FdMessage take();

private:
    [[nodiscard]] std::expected<std::size_t, FdChannelError> receive(int socket, char* into,
                                                                     std::size_t size);
    [[nodiscard]] std::expected<bool, FdChannelError> read_header(int socket);
    [[nodiscard]] std::expected<void, FdChannelError> check_header();
    [[nodiscard]] std::expected<bool, FdChannelError> read_rest(int socket);
    [[nodiscard]] FdChannelError end_of_stream() const;

    FdLimits limits_;
    std::string header_;
    std::size_t carriers_ = 0;  // still to come
    std::size_t expected_bytes_ = 0;
    std::size_t expected_fds_ = 0;
    FdMessage message_;
};

}  // namespace penstock::net
