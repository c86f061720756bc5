#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "proxy/access_log/record.hpp"
#include "proxy/context.hpp"
#include "proxy/front/client_facts.hpp"

namespace penstock::proxy {

/// What is remembered of one connection that has ended: all that its line in the access log says,
/// and what keeps the names alive.
struct ClosedSession {
    LogRecord record;  // its views point into what follows, or to what lives for ever
    ListenerPtr listener;
    UpstreamPtr upstream;
    std::shared_ptr<const balancer::Backend> backend;
    std::vector<Attempt> failed_attempts;
    std::shared_ptr<const ClientFacts> facts{};  // null: none
};

/// When it ended, as exactly as it is known when it began.
[[nodiscard]] WallTime ended_at(const LogRecord& record) noexcept;

/// Which of them somebody wants to see.
struct ClosedFilter {
    CloseReason reason = CloseReason::none;  // none = any
    std::string upstream{};                  // "" = any
    std::size_t limit = 1000;
};

/// One of them, for the operator: the JSON object of the access log, without its newline.
struct ClosedLine {
    WallTime ended;
    std::string json;
};

/// The connections that ended last on one worker. Remembering one allocates
/// nothing. The worker's thread.
class ClosedSessions {
public:
    static constexpr std::size_t capacity = 1000;

    ClosedSessions() { ring_.reserve(capacity); }

    void add(ClosedSession closed);
    /// The newest first.
    [[nodiscard]] std::vector<ClosedLine> list(const ClosedFilter& filter) const;
    void clear() noexcept { ring_.clear(); }

private:
    std::vector<ClosedSession> ring_;
    std::size_t next_ = 0;  // once it is full: the oldest
};

}  // namespace penstock::proxy
