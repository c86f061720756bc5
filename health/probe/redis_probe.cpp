#include "health/probe/redis_probe.hpp"

#include <chrono>
#include <initializer_list>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <hiredis/hiredis.h>

#include "health/probe/detail.hpp"
#include "health/probe/fd_wait.hpp"

namespace penstock::health {

namespace asio = boost::asio;

namespace {

struct FreeContext {
    void operator()(redisContext* context) const noexcept { redisFree(context); }
};
struct FreeReply {
    void operator()(redisReply* reply) const noexcept { freeReplyObject(reply); }
};
using Reply = std::unique_ptr<redisReply, FreeReply>;

// hiredis without its loop: commands are put into its buffer, and the buffers moved when the
// socket is ready.
class Session {
public:
    Session(asio::io_context& loop, const Endpoint& to, TimePoint deadline)
        : wait_(loop, deadline), context_(open(to)) {}

    [[nodiscard]] bool failed() const noexcept { return !context_ || context_->err != 0; }
    [[nodiscard]] std::string error(std::string_view phase) const {
        if (wait_.expired()) return fmt::format("time-out while {}", phase);
        if (!context_) return "out of memory";
        return fmt::format("{} while {}", context_->errstr, phase);
    }

    // Null if there was none; error() says why.
    asio::awaitable<Reply> ask(const std::vector<std::string>& words) {
        std::vector<const char*> texts;
        std::vector<std::size_t> sizes;
        for (const auto& word : words) {
            texts.push_back(word.data());
            sizes.push_back(word.size());
        }
        redisAppendCommandArgv(context_.get(), static_cast<int>(words.size()), texts.data(),
                               sizes.data());
        int done = 0;
        while (done == 0) {
            auto writable = wait_.wait(context_->fd, FdWait::For::writing);
            if (!co_await std::move(writable)) co_return nullptr;
            if (redisBufferWrite(context_.get(), &done) != REDIS_OK) co_return nullptr;
        }
        auto answering = answer();
        co_return co_await std::move(answering);
    }

private:
    static std::unique_ptr<redisContext, FreeContext> open(const Endpoint& to) {
        redisContext* opened = nullptr;
        if (to.is_unix()) {
            opened = redisConnectUnixNonBlock(to.path().c_str());
        } else {
            std::string host = to.to_string();  // without port and brackets
            host.resize(host.rfind(':'));
            if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
            opened = redisConnectNonBlock(host.c_str(), to.port());
        }
        return std::unique_ptr<redisContext, FreeContext>(opened);
    }

    asio::awaitable<Reply> answer() {
        for (;;) {
            void* reply = nullptr;
            if (redisGetReplyFromReader(context_.get(), &reply) != REDIS_OK) co_return nullptr;
            if (reply != nullptr) co_return Reply(static_cast<redisReply*>(reply));
            if (context_->reader->len > Probe::max_answer) {
                context_->err = REDIS_ERR_OTHER;
                std::string_view("the answer is too long").copy(context_->errstr, 23);
                co_return nullptr;
            }
            auto readable = wait_.wait(context_->fd, FdWait::For::reading);
            if (!co_await std::move(readable)) co_return nullptr;
            if (redisBufferRead(context_.get()) != REDIS_OK) co_return nullptr;
        }
    }

    FdWait wait_;
    std::unique_ptr<redisContext, FreeContext> context_;
};

std::string_view text_of(const Reply& reply) {
    if (reply->str == nullptr) return {};
    return {reply->str, reply->len};
}

Role role_of(const Reply& reply) {
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0) return Role::none;
    const redisReply* first = reply->element[0];
    if (first->str == nullptr) return Role::none;
    const std::string_view word(first->str, first->len);
    if (word == "master") return Role::primary;
    if (word == "slave") return Role::replica;
    return Role::none;  // a sentinel
}

}  // namespace

RedisProbe::RedisProbe(asio::io_context& context, const config::HealthCheck& settings,
                       std::string password)
    : context_(context), settings_(settings), password_(std::move(password)) {}

asio::awaitable<ProbeResult> RedisProbe::check(ProbeTarget target, TimePoint deadline) {
    if (target.address.is_abstract())
        co_return failure("checks of type redis cannot reach abstract sockets");
    Session session(context_, target.address, deadline);
    if (session.failed()) co_return failure(session.error("connecting"));
    if (!password_.empty()) {
        std::vector<std::string> words{"AUTH"};
        if (!settings_.user.empty()) words.push_back(settings_.user);
        words.push_back(password_);
        auto asking = session.ask(words);
        const Reply reply = co_await std::move(asking);
        if (!reply) co_return failure(session.error("logging in"));
        if (reply->type == REDIS_REPLY_ERROR)
            co_return failure(fmt::format("AUTH: {}", text_of(reply)));
    }
    const std::vector<std::string> ping{"PING"};
    auto pinging = session.ask(ping);
    const Reply pong = co_await std::move(pinging);
    if (!pong) co_return failure(session.error("waiting for the answer to PING"));
    if (pong->type == REDIS_REPLY_ERROR || text_of(pong) != "PONG")
        co_return failure(fmt::format("PING: {}", text_of(pong)));
    const std::vector<std::string> which{"ROLE"};
    auto asking = session.ask(which);
    const Reply role = co_await std::move(asking);
    if (!role) co_return failure(session.error("waiting for the answer to ROLE"));
    co_return success("", role_of(role));
}

}  // namespace penstock::health
