#include "health/probe/mysql_probe.hpp"

#include <sys/socket.h>

#include <optional>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <mysql.h>

#include "health/probe/detail.hpp"
#include "health/probe/fd_wait.hpp"

namespace penstock::health {

namespace asio = boost::asio;

namespace {

constexpr unsigned access_denied = 1045;
constexpr unsigned first_client_error = 2000;  // below: what the server said

// libmariadb's calls in two halves: `start` and `go_on` until the status is 0.
class Session {
public:
    Session(asio::io_context& loop, TimePoint deadline)
        : wait_(loop, deadline), handle_(mysql_init(nullptr)) {
        if (handle_ == nullptr) return;
        mysql_options(handle_, MYSQL_OPT_NONBLOCK, nullptr);
        const unsigned off = 0;
        mysql_options(handle_, MYSQL_OPT_LOCAL_INFILE, &off);
    }
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
    ~Session() {
        if (handle_ == nullptr) return;
        abandon();
        mysql_close(handle_);
    }

    // `to` and `password` have to outlive the object.
    asio::awaitable<bool> connect(const Endpoint& to, std::string user,
                                  const std::string& password) {
        user_ = std::move(user);
        host_ = to.is_unix() ? "localhost" : to.to_string();
        if (!to.is_unix()) {
            host_.resize(host_.rfind(':'));
            if (host_.starts_with('[')) host_ = host_.substr(1, host_.size() - 2);
        }
        MYSQL* connected = nullptr;
        int status = mysql_real_connect_start(&connected, handle_, host_.c_str(), user_.c_str(),
                                              password.c_str(), nullptr, to.port(),
                                              to.is_unix() ? to.path().c_str() : nullptr, 0);
        go_on_ = [](Session& self, int ready) {
            MYSQL* result = nullptr;
            const int again = mysql_real_connect_cont(&result, self.handle_, ready);
            self.succeeded_ = result != nullptr;
            return again;
        };
        succeeded_ = connected != nullptr;
        auto finishing = finish(status);
        co_return co_await std::move(finishing);
    }

    // The first value of the first row.
    asio::awaitable<std::optional<std::string>> ask(std::string_view query) {
        int failed = 0;
        const int asked = mysql_real_query_start(&failed, handle_, query.data(), query.size());
        go_on_ = [](Session& self, int ready) {
            int result = 1;
            const int again = mysql_real_query_cont(&result, self.handle_, ready);
            self.succeeded_ = result == 0;
            return again;
        };
        succeeded_ = failed == 0;
        auto asking = finish(asked);
        if (!co_await std::move(asking)) co_return std::nullopt;
        MYSQL_RES* rows = nullptr;
        const int stored = mysql_store_result_start(&rows, handle_);
        rows_ = rows;
        go_on_ = [](Session& self, int ready) {
            return mysql_store_result_cont(&self.rows_, self.handle_, ready);
        };
        auto storing = finish(stored);
        const bool in_time = co_await std::move(storing);
        std::optional<std::string> value;
        if (rows_ != nullptr) {
            MYSQL_ROW row = mysql_fetch_row(rows_);
            if (in_time && row != nullptr && row[0] != nullptr) value = row[0];
            mysql_free_result(std::exchange(rows_, nullptr));
        }
        co_return value;
    }

    [[nodiscard]] bool usable() const noexcept { return handle_ != nullptr; }
    [[nodiscard]] unsigned error_number() const noexcept { return mysql_errno(handle_); }
    [[nodiscard]] std::string error(std::string_view phase) const {
        if (wait_.expired()) return fmt::format("time-out while {}", phase);
        return fmt::format("{} while {}", mysql_error(handle_), phase);
    }

private:
    // True if the call came to its end and was a success.
    asio::awaitable<bool> finish(int status) {
        pending_ = status;
        while (pending_ != 0) {
            const auto direction =
                (pending_ & MYSQL_WAIT_WRITE) != 0 ? FdWait::For::writing : FdWait::For::reading;
            const int ready =
                pending_ & (direction == FdWait::For::writing ? MYSQL_WAIT_WRITE : MYSQL_WAIT_READ);
            auto waiting = wait_.wait(static_cast<int>(mysql_get_socket(handle_)), direction);
            if (!co_await std::move(waiting)) {
                abandon();
                co_return false;
            }
            pending_ = go_on_(*this, ready);
        }
        co_return succeeded_;
    }

    // A call that was begun has to come to its end before the handle may be closed; without a
    // connection that does not take long.
    void abandon() noexcept {
        if (pending_ == 0) return;
        ::shutdown(static_cast<int>(mysql_get_socket(handle_)), SHUT_RDWR);
        for (int i = 0; i < 64 && pending_ != 0; ++i)
            pending_ = go_on_(*this, MYSQL_WAIT_TIMEOUT | (pending_ & ~MYSQL_WAIT_TIMEOUT));
        succeeded_ = false;
    }

    FdWait wait_;
    // The library reads them until its call has ended, which may be when this object goes.
    std::string host_;
    std::string user_;
    MYSQL* handle_;
    MYSQL_RES* rows_ = nullptr;
    int (*go_on_)(Session&, int) = nullptr;
    int pending_ = 0;
    bool succeeded_ = false;
};

}  // namespace

MysqlProbe::MysqlProbe(asio::io_context& context, const config::HealthCheck& settings,
                       std::string password)
    : context_(context), settings_(settings), password_(std::move(password)) {}

// The library takes an answer as long as the server makes it; the deadline is what bounds it.
asio::awaitable<ProbeResult> MysqlProbe::check(ProbeTarget target, TimePoint deadline) {
    if (target.address.is_abstract())
        co_return failure("checks of type mysql cannot reach abstract sockets");
    Session session(context_, deadline);
    if (!session.usable()) co_return failure("out of memory");
    const bool anonymous = settings_.user.empty();
    std::string user = anonymous ? "penstock-check" : settings_.user;
    auto connecting = session.connect(target.address, std::move(user), password_);
    const bool connected = co_await std::move(connecting);
    if (!connected) {
        const unsigned number = session.error_number();
        if (anonymous && number == access_denied) co_return success("", Role::none);
        if (number != 0 && number < first_client_error)
            co_return failure(session.error("logging in"));
        co_return failure(session.error("connecting"));
    }
    auto asking = session.ask("select @@global.read_only");
    const auto answer = co_await std::move(asking);
    if (!answer) co_return failure(session.error("waiting for the answer to a query"));
    co_return success("", *answer == "0" ? Role::primary : Role::replica);
}

}  // namespace penstock::health
