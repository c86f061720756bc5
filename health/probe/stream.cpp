#include "health/probe/stream.hpp"

#include <array>
#include <cctype>
#include <cerrno>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <fmt/format.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "health/probe/detail.hpp"
#include "net/asio_words.hpp"

namespace penstock::health {

namespace asio = boost::asio;

namespace {

constexpr const char* connecting = "connecting";
constexpr const char* shaking_hands = "waiting for the TLS handshake";
constexpr std::size_t tls_piece = 4096;
// OpenSSL takes certificates of 100 KiB by itself, but ignores some messages without counting them.
constexpr std::size_t most_handshake = std::size_t{128} << 10;
// No event tells when the queue of a unix listener has room again.
constexpr auto full_queue_pause = std::chrono::milliseconds(20);

boost::system::error_code system_error(int number) {
    return {number, boost::system::system_category()};
}

// `connection refused`: the C library's words, which begin with a capital letter.
std::string words_of(const boost::system::error_code& error) {
    std::string text = error.message();
    if (text.size() > 1 && std::islower(static_cast<unsigned char>(text[1])) != 0)
        text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
    return text;
}

}  // namespace

Stream::Stream(asio::io_context& context, TimePoint deadline, Duration timeout)
    : socket_(context), pause_(context), timeout_(timeout), deadline_(context, deadline, [this] {
          timed_out_ = true;
          close();
      }) {}

Stream::~Stream() { close(); }

bool Stream::fail(std::string text) {
    if (error_.empty()) error_ = std::move(text);
    return false;
}

bool Stream::fail(const boost::system::error_code& error, const char* doing) {
    if (timed_out_)
        return fail(fmt::format("time-out after {} while {}", in_words(timeout_), doing));
    if (doing == connecting) return fail(words_of(error));
    return fail(fmt::format("{} while {}", words_of(early_error_ ? early_error_ : error), doing));
}

// 0, or errno. In this order, so that a wait that ends means something: an unconnected socket
// counts as ready.
int Stream::start_connecting(const Endpoint& to) {
    boost::system::error_code error;
    if (!socket_.is_open()) {
        const asio::generic::stream_protocol protocol(to.family(), 0);
        if (socket_.open(protocol, error); error) return error.value();
        if (socket_.native_non_blocking(true, error); error) return error.value();
        const int on = 1;
        if (!to.is_unix())
            ::setsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    sockaddr_storage address;
    const socklen_t length = to.to_sockaddr(address);
    const auto* name = reinterpret_cast<const sockaddr*>(&address);
    return ::connect(socket_.native_handle(), name, length) == 0 ? 0 : errno;
}

asio::awaitable<bool> Stream::connect(Endpoint to) {
    for (;;) {
        if (timed_out_) co_return fail({}, connecting);
        const int result = start_connecting(to);
        if (result == 0) co_return true;
        if (result == EINPROGRESS || result == EINTR) {
            const bool connected = co_await finish_connecting();
            co_return connected;
        }
        if (result != EAGAIN || !to.is_unix()) co_return fail(system_error(result), connecting);
        pause_.expires_after(full_queue_pause);
        co_await pause_.async_wait(net::as_result);
    }
}

asio::awaitable<bool> Stream::finish_connecting() {
    const auto [error] = co_await socket_.async_wait(Socket::wait_write, net::as_result);
    if (error || timed_out_) co_return fail(error, connecting);
    int number = 0;
    socklen_t size = sizeof number;
    ::getsockopt(socket_.native_handle(), SOL_SOCKET, SO_ERROR, &number, &size);
    // Who refuses a connection does it with ECONNREFUSED. This one was accepted, then reset;
    // whether we hear of that so early is chance, and must not decide what the check says.
    if (number == ECONNRESET || number == EPIPE)
        early_error_ = system_error(number);
    else if (number != 0)
        co_return fail(system_error(number), connecting);
    co_return true;
}

asio::awaitable<bool> Stream::send(std::string_view bytes, const char* doing) {
    while (!bytes.empty()) {
        if (!socket_.is_open()) co_return fail(asio::error::bad_descriptor, doing);
        const asio::const_buffer rest(bytes.data(), bytes.size());
        const auto [error, count] = co_await socket_.async_write_some(rest, net::as_result);
        if (error) co_return fail(error, doing);
        bytes.remove_prefix(count);
    }
    co_return true;
}

asio::awaitable<std::size_t> Stream::receive(std::span<char> into, const char* doing) {
    if (!socket_.is_open()) {
        fail(asio::error::bad_descriptor, doing);
        co_return 0;
    }
    const asio::mutable_buffer room(into.data(), into.size());
    const auto [error, count] = co_await socket_.async_read_some(room, net::as_result);
    if (!error) co_return count;
    if (error == asio::error::eof && !early_error_ && !timed_out_)
        ended_ = true;
    else
        fail(error, doing);
    co_return 0;
}

asio::awaitable<std::size_t> Stream::feed_tls(const char* doing) {
    const std::string output = tls_->take_output();
    if (!co_await send(output, doing)) co_return 0;
    const std::size_t count = co_await receive(tls_input_, doing);
    tls_->feed(std::string_view(tls_input_).substr(0, count));
    co_return count;
}

asio::awaitable<bool> Stream::start_tls_unverified(
    std::shared_ptr<const net::tls::UnverifiedContext> context, std::string server_name) {
    tls_ = std::make_unique<net::tls::MemoryClient>(*context, server_name);
    auto shaking = shake_hands();
    const bool done = co_await std::move(shaking);
    co_return done;
}

asio::awaitable<bool> Stream::start_tls(std::shared_ptr<const net::tls::ClientContext> context,
                                        std::string verify_name) {
    tls_ = std::make_unique<net::tls::MemoryClient>(*context, verify_name);
    auto shaking = shake_hands();
    const bool done = co_await std::move(shaking);
    co_return done;
}

asio::awaitable<bool> Stream::shake_hands() {
    tls_input_.resize(tls_piece);
    for (std::size_t taken = 0; taken < most_handshake;) {
        const auto step = tls_->handshake();
        if (step.status == net::tls::MemoryClient::Status::ok) {
            const std::string output = tls_->take_output();
            const bool sent = co_await send(output, shaking_hands);
            co_return sent;
        }
        if (step.status != net::tls::MemoryClient::Status::needs_input)
            co_return fail("TLS handshake failed: " + tls_->error());
        const std::size_t count = co_await feed_tls(shaking_hands);
        if (ended_) fail("closed by the server in the TLS handshake");
        if (count == 0) co_return false;
        taken += count;
    }
    co_return fail("TLS handshake failed: longer than 128 KiB");
}

asio::awaitable<bool> Stream::write(std::string_view bytes, const char* doing) {
    if (!tls_) {
        const bool sent = co_await send(bytes, doing);
        co_return sent;
    }
    if (tls_->write(bytes).status != net::tls::MemoryClient::Status::ok)
        co_return fail("TLS failed: " + tls_->error());
    const std::string output = tls_->take_output();
    const bool sent = co_await send(output, doing);
    co_return sent;
}

asio::awaitable<std::size_t> Stream::read(std::span<char> into, const char* doing) {
    if (!tls_) {
        const std::size_t count = co_await receive(into, doing);
        co_return count;
    }
    for (;;) {
        const auto step = tls_->read(into);
        if (step.status == net::tls::MemoryClient::Status::ok) co_return step.bytes;
        if (step.status == net::tls::MemoryClient::Status::ended) ended_ = true;
        if (step.status == net::tls::MemoryClient::Status::failed)
            fail("TLS failed: " + tls_->error());
        if (step.status != net::tls::MemoryClient::Status::needs_input) co_return 0;
        if (co_await feed_tls(doing) == 0) co_return 0;
    }
}

std::string_view Stream::tls_protocol() const noexcept {
    return tls_ ? tls_->protocol() : std::string_view();
}

void Stream::say_goodbye() noexcept {
    tls_->say_goodbye();
    const std::string output = tls_->take_output();
    ::send(socket_.native_handle(), output.data(), output.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

// What nobody has read when a socket is closed turns its FIN into a reset. Servers that have sent
// more than a check looks at should not have to see one, as far as it has come.
void Stream::discard_input() noexcept {
    std::array<char, 4096> piece;
    for (std::size_t taken = 0; taken < Probe::max_answer; taken += piece.size())
        if (::recv(socket_.native_handle(), piece.data(), piece.size(), MSG_DONTWAIT) <= 0) return;
}

void Stream::close() noexcept {
    pause_.cancel();
    if (!socket_.is_open()) return;
    if (tls_) say_goodbye();
    discard_input();
    boost::system::error_code ignored;
    socket_.close(ignored);  // NOLINT(bugprone-unused-return-value): the same as `ignored`
}

}  // namespace penstock::health
