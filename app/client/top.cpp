#include "app/client/top.hpp"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/json/parse.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include "app/client/fields.hpp"
#include "app/client/report.hpp"
#include "app/client/terminal.hpp"
#include "app/client/top_view.hpp"
#include "net/asio_words.hpp"

namespace penstock::app::client {

namespace asio = boost::asio;

namespace {

constexpr auto pause_between_attempts = std::chrono::milliseconds(500);
constexpr std::ptrdiff_t page = 10;

/// All of it runs on the context's thread. The context outlives it, and is not run any more when it
/// dies.
class Top {
public:
    Top(asio::io_context& context, ClientOptions options);

    ExitStatus run();

private:
    asio::awaitable<void> follow();
    asio::awaitable<void> follow_once();
    asio::awaitable<void> read_keys();
    asio::awaitable<void> handle_signals();
    void show(const ServerEvent& event);
    void start_drawing();
    void on_keys(std::string_view keys);
    void fail(const ClientError& error);
    void draw();

    asio::io_context& context_;
    ClientOptions options_;
    asio::signal_set signals_;
    asio::steady_timer pause_;
    std::optional<FullScreen> screen_;
    std::optional<asio::posix::stream_descriptor> keys_;
    TopModel model_;
    bool colour_ = standard_output_canvas().colour;
    ExitStatus status_ = ExitStatus::success;
    std::string message_;
};

Top::Top(asio::io_context& context, ClientOptions options)
    : context_(context),
      options_(std::move(options)),
      signals_(context, SIGINT, SIGTERM, SIGHUP),
      pause_(context) {
    signals_.add(SIGWINCH);
}

ExitStatus Top::run() {
    asio::co_spawn(context_, handle_signals(), net::rethrow_failure);
    asio::co_spawn(context_, follow(), net::rethrow_failure);
    context_.run();
    // The terminal's own screen comes back first, so that the message stays on it.
    keys_.reset();
    screen_.reset();
    if (!message_.empty()) fmt::print(stderr, "penstock: {}\n", message_);
    return status_;
}

void Top::fail(const ClientError& error) {
    status_ = exit_status_of(error);
    message_ = error.message;
    context_.stop();
}

void Top::start_drawing() {
    auto screen = FullScreen::enter();
    if (!screen) {
        status_ = ExitStatus::invalid_usage;
        message_ = screen.error();
        context_.stop();
        return;
    }
    screen_.emplace(*std::move(screen));
    // A duplicate: each of the two closes what it owns.
    keys_.emplace(context_, ::dup(screen_->keys()));
    asio::co_spawn(context_, read_keys(), net::rethrow_failure);
    draw();
}

/// One connection after another. Only the first must succeed: a typing mistake ends with a message,
/// a restart of the proxy does not.
asio::awaitable<void> Top::follow() {
    for (;;) {
        auto one_connection = follow_once();
        co_await std::move(one_connection);
        if (!screen_) co_return;
        draw();
        pause_.expires_after(pause_between_attempts);
        co_await pause_.async_wait(net::as_result);
    }
}

asio::awaitable<void> Top::follow_once() {
    EventStream stream(context_, options_);
    auto opening = stream.open();
    const auto opened = co_await std::move(opening);
    if (!opened && !screen_) {
        fail(opened.error());
        co_return;
    }
    if (!opened) {
        const auto& message = opened.error().message;
        model_.lose(opened.error().kind == ClientError::Kind::unreachable
                        ? "no running proxy reached, trying again"
                        : message.substr(0, message.find('\n')) + ", trying again");
        co_return;
    }
    if (!screen_) start_drawing();
    for (;;) {
        auto reading = stream.next();
        const auto event = co_await std::move(reading);
        if (!event || !*event) {
            model_.lose(event ? "the proxy closed the connection, trying again"
                              : event.error().message + ", trying again");
            co_return;
        }
        show(**event);
    }
}

void Top::show(const ServerEvent& event) {
    boost::system::error_code error;
    auto value = json::parse(event.data, error);
    if (error) return;
    if (event.name == "status")
        model_.take_status(std::move(value));
    else if (event.name == "event")
        model_.take_event(std::move(value));
    draw();
}

asio::awaitable<void> Top::read_keys() {
    for (;;) {
        std::array<char, 64> bytes{};
        const auto buffer = asio::buffer(bytes);
        const auto [error, n] = co_await keys_->async_read_some(buffer, net::as_result);
        if (error) {
            context_.stop();
            co_return;
        }
        on_keys({bytes.data(), n});
    }
}

void Top::on_keys(std::string_view keys) {
    constexpr std::string_view ctrl_c = "\x03";
    constexpr std::string_view ctrl_d = "\x04";
    if (keys == "\x1b[A" || keys == "k") model_.scroll(-1);
    if (keys == "\x1b[B" || keys == "j") model_.scroll(1);
    if (keys == "\x1b[5~" || keys == "b") model_.scroll(-page);
    if (keys == "\x1b[6~" || keys == " ") model_.scroll(page);
    if (keys == "\f") screen_->forget();  // Ctrl-L
    // Keys typed fast come together; a sequence of one key begins with ESC.
    const bool is_sequence = keys.starts_with('\x1b');
    if (keys.contains(ctrl_c) || keys.contains(ctrl_d) ||
        (!is_sequence && (keys.contains('q') || keys.contains('Q'))))
        context_.stop();
    else
        draw();
}

asio::awaitable<void> Top::handle_signals() {
    for (;;) {
        const auto [error, signal] = co_await signals_.async_wait(net::as_result);
        if (error) co_return;
        if (signal != SIGWINCH) {
            context_.stop();
            co_return;
        }
        if (!screen_) continue;
        screen_->forget();
        draw();
    }
}

void Top::draw() {
    if (screen_ && !screen_->draw(model_.lines(screen_size(), colour_))) context_.stop();
}

}  // namespace

ExitStatus top(const ClientOptions& options) {
    if (::isatty(STDOUT_FILENO) != 1) {
        fmt::print(stderr, "penstock: {}\n", FullScreen::no_terminal);
        return ExitStatus::invalid_usage;
    }
    asio::io_context context(1);
    return Top(context, options).run();
}

}  // namespace penstock::app::client
