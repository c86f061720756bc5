#include "tests/integration/close_case.hpp"

#include <cerrno>

namespace penstock::test {

namespace {

/// A reset that arrives after a FIN shows as an error condition, not as data to read.
bool wait_reset(const Socket& socket) {
    wait_ready(socket.fd(), 0, Clock::now() + 50ms);
    int error = 0;
    socklen_t length = sizeof error;
    ::getsockopt(socket.fd(), SOL_SOCKET, SO_ERROR, &error, &length);
    return error == ECONNRESET || error == EPIPE;
}

}  // namespace

ChaosBackend::Script Watched::script() {
    return [this](Socket& socket, const ChaosBackend& backend) {
        if (socket.receive_text(4) == "ping") socket.send("pong");
        End end = backend.wait_end(socket);
        while (stays_after_fin_ && end == End::fin && !backend.stopping())
            if (wait_reset(socket)) end = End::reset;
        seen_ = end;
        if (end == End::fin) socket.finish();
        done_ = true;
    };
}

End Watched::wait() const {
    wait_for([this] { return done_.load(); });
    return seen_;
}

bool ping_pong(Socket& socket) { return socket.send("ping") && socket.receive_text(4) == "pong"; }

LogLine the_line(const ProxyProcess& proxy, const Expected& expected) {
    const auto lines = expect_lines(proxy, 1);
    if (lines.empty()) return {};
    const LogLine& line = lines[0];
    EXPECT_EQ(line.reason, expected.reason) << line.raw;
    EXPECT_EQ(line.close_class, expected.close_class) << line.raw;
    if (expected.closed_by) {
        EXPECT_EQ(line.closed_by, expected.closed_by) << line.raw;
    }
    EXPECT_GE(line.attempts.size(), expected.attempts) << line.raw;
    return line;
}

}  // namespace penstock::test
