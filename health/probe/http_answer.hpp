#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "config/config.hpp"
#include "health/probe/probe.hpp"

namespace penstock::health {

/// Judges the answer to an HTTP check while it comes, as early as it can be judged. Interim
/// answers (1xx) are skipped, redirections not followed. The body is looked at only if it has to
/// contain something. Of the server's bytes at most Probe::max_answer are taken. Pure.
class HttpAnswer {
public:
    /// `settings` must outlive the object.
    explicit HttpAnswer(const config::HttpCheck& settings);
    ~HttpAnswer();
    HttpAnswer(const HttpAnswer&) = delete;
    HttpAnswer& operator=(const HttpAnswer&) = delete;

    /// The next bytes; nothing = more are needed. Not after a verdict.
    [[nodiscard]] std::optional<ProbeResult> add(std::string_view bytes);
    /// No more come; `why` says why in words for a failure, "" = the server has closed.
    [[nodiscard]] ProbeResult end(std::string_view why);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::health
