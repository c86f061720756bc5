#include "health/probe/redis_probe.hpp"

#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <hiredis/hiredis.h>

#include "health/probe/detail.hpp"

namespace penstock::health {

namespace asio = boost::asio;

struct RedisProbe::Settings {
    Duration timeout;
    std::string user;
    std::string password;
    Opening opening;
};

namespace {

using Settings = RedisProbe::Settings;

struct FreeReader {
    void operator()(redisReader* reader) const noexcept { redisReaderFree(reader); }
};
struct FreeReply {
    void operator()(redisReply* reply) const noexcept { freeReplyObject(reply); }
};
using Reply = std::unique_ptr<redisReply, FreeReply>;

std::string command_of(const std::vector<std::string>& words) {
    std::vector<const char*> texts;
    std::vector<std::size_t> sizes;
    for (const auto& word : words) {
        texts.push_back(word.data());
        sizes.push_back(word.size());
    }
    char* made = nullptr;
    const int size =
        redisFormatCommandArgv(&made, static_cast<int>(words.size()), texts.data(), sizes.data());
    std::string command(made, size > 0 ? static_cast<std::size_t>(size) : 0);
    redisFreeCommand(made);
    return command;
}

// hiredis without its sockets: it writes commands and reads replies, the stream has the rest.
class Session {
public:
    explicit Session(Stream& stream) : stream_(stream), reader_(redisReaderCreate()) {}

    /// Null if there was none; error() says why. `waiting` completes `time-out after 1 s while
    /// ...`.
    asio::awaitable<Reply> ask(std::vector<std::string> words, const char* waiting) {
        const std::string command = command_of(words);
        if (!reader_) co_return nullptr;
        auto sending = stream_.write(command, waiting);
        if (!co_await std::move(sending)) co_return nullptr;
        std::array<char, 1024> piece;
        for (;;) {
            void* reply = nullptr;
            if (redisReaderGetReply(reader_.get(), &reply) != REDIS_OK) co_return nullptr;
            if (reply != nullptr) co_return Reply(static_cast<redisReply*>(reply));
            if (reader_->len > Probe::max_answer) co_return nullptr;
            const std::size_t count = co_await stream_.read(piece, waiting);
            if (count == 0) co_return nullptr;
            if (redisReaderFeed(reader_.get(), piece.data(), count) != REDIS_OK) co_return nullptr;
        }
    }

    [[nodiscard]] std::string error(std::string_view waiting) const {
        if (!stream_.error().empty()) return stream_.error();
        if (!reader_) return "out of memory";
        if (stream_.ended()) return fmt::format("closed by the server while {}", waiting);
        if (reader_->err != 0) return fmt::format("{} while {}", reader_->errstr, waiting);
        return fmt::format("the answer is too long while {}", waiting);
    }

private:
    Stream& stream_;
    std::unique_ptr<redisReader, FreeReader> reader_;
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

constexpr const char* logging_in = "logging in";
constexpr const char* pinging = "waiting for the answer to PING";
constexpr const char* asking_role = "waiting for the answer to ROLE";

asio::awaitable<ProbeResult> run(asio::io_context& context,
                                 std::shared_ptr<const Settings> settings, ProbeTarget target,
                                 TimePoint deadline) {
    Stream stream(context, deadline, settings->timeout);
    std::string name = server_name_of(target.host);
    auto opening = open(stream, std::move(target), settings->opening, std::move(name));
    if (!co_await std::move(opening)) co_return failure(stream.error());
    Session session(stream);
    if (!settings->password.empty()) {
        std::vector<std::string> words{"AUTH"};
        if (!settings->user.empty()) words.push_back(settings->user);
        words.push_back(settings->password);
        auto asking = session.ask(std::move(words), logging_in);
        const Reply reply = co_await std::move(asking);
        if (!reply) co_return failure(session.error(logging_in));
        if (reply->type == REDIS_REPLY_ERROR)
            co_return failure(fmt::format("AUTH: {}", text_of(reply)));
    }
    std::vector<std::string> ping{"PING"};
    auto asking = session.ask(std::move(ping), pinging);
    const Reply pong = co_await std::move(asking);
    if (!pong) co_return failure(session.error(pinging));
    if (pong->type == REDIS_REPLY_ERROR || text_of(pong) != "PONG")
        co_return failure(fmt::format("PING: {}", text_of(pong)));
    std::vector<std::string> which{"ROLE"};
    auto asking_which = session.ask(std::move(which), asking_role);
    const Reply role = co_await std::move(asking_which);
    if (!role) co_return failure(session.error(asking_role));
    co_return success("", role_of(role));
}

}  // namespace

RedisProbe::RedisProbe(asio::io_context& context, const config::HealthCheck& settings,
                       std::string password, Opening opening)
    : context_(context),
      settings_(std::make_shared<const Settings>(
          Settings{settings.timeout, settings.user, std::move(password), std::move(opening)})) {}

// The coroutine knows nothing of this object, which may go first.
asio::awaitable<ProbeResult> RedisProbe::check(ProbeTarget target, TimePoint deadline) {
    return run(context_, settings_, std::move(target), deadline);
}

}  // namespace penstock::health
