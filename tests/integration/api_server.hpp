#pragma once

#include <condition_variable>
#include <cstddef>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/deadline.hpp"

namespace penstock::test {

/// A scripted stand-in for the admin API of a running proxy: it gives the answers it was told, and
/// one stream of server-sent events to everybody who asks for it.
class ApiServer {
public:
    struct Seen {
        std::string request;  // `GET /api/v1/status`
        std::string body;
        std::string authorization;
        std::string host;
    };

    /// `unix:/path` (a file in the way is replaced) or `127.0.0.1:0`.
    explicit ApiServer(const std::string& at = "127.0.0.1:0");
    ApiServer(const ApiServer&) = delete;
    ApiServer& operator=(const ApiServer&) = delete;
    ~ApiServer();

    [[nodiscard]] const std::string& address() const { return address_; }

    /// The answer to a request such as `GET /api/v1/status`; to any other it is 404.
    void answer(const std::string& request, const std::string& body, unsigned status = 200);
    /// Status, listeners and upstreams, for `status`.
    void answer_status(const std::string& status, const std::string& listeners,
                       const std::string& upstreams);

    [[nodiscard]] std::vector<Seen> seen() const;
    [[nodiscard]] bool wait_for_streams(std::size_t count, milliseconds limit = patience);
    /// Sends an event to everybody who listens to the stream now.
    void push(const std::string& name, const std::string& data);
    /// Ends all streams as a proxy that stops does.
    void end_streams();
    /// Ends them as a crash does.
    void cut_streams();

private:
    struct Loop;
    struct Answer {
        unsigned status;
        std::string body;
    };

    [[nodiscard]] Answer take(Seen seen);
    void write_to_streams(const std::string& bytes);

    mutable std::mutex mutex_;
    std::map<std::string, Answer> answers_;
    std::vector<Seen> seen_;
    std::string address_;
    std::unique_ptr<Loop> loop_;
    std::thread thread_;
};

}  // namespace penstock::test
