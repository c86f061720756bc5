#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "tests/support/deadline.hpp"

namespace penstock::test {

struct HttpAnswer {
    int status = 0;  // 0 = no answer
    std::map<std::string, std::string> header{};  // names in lower case
    std::string body{};
};

/// What is sent is up to the test: raw bytes, in whatever shape.
struct AdminRequest {
    std::string method = "GET";
    std::string target = "/";
    std::vector<std::string> header{};  // whole lines; Host and Connection are added unless given
    std::string body{};
};

/// Plain sockets on purpose: what judges the server shares no code with it. Each request has a
/// connection of its own.
class AdminClient {
public:
    /// `unix:PATH` or `127.0.0.1:PORT`.
    explicit AdminClient(std::string address) : address_(std::move(address)) {}

    [[nodiscard]] HttpAnswer send(const AdminRequest& request, milliseconds limit = patience) const;
    [[nodiscard]] HttpAnswer get(const std::string& target) const {
        return send({.target = target});
    }
    [[nodiscard]] HttpAnswer post(const std::string& target, const std::string& body = "") const {
        return send({.method = "POST", .target = target, .body = body});
    }
    /// Sends these bytes and reads until the server closes, or the time is over.
    [[nodiscard]] std::string exchange(const std::string& bytes,
                                       milliseconds limit = patience) const;

private:
    std::string address_;
};

/// A page of metrics: each sample with its labels, as it is written.
class MetricsPage {
public:
    explicit MetricsPage(const std::string& text);

    /// Of one sample, `name{label="value",...}` as on the page; fails the test if it is not there.
    [[nodiscard]] double value(const std::string& sample) const;
    [[nodiscard]] bool has(const std::string& sample) const { return samples_.contains(sample); }
    /// Of all samples of that name that have all of these labels, each `label="value"`.
    [[nodiscard]] double sum(const std::string& name,
                             const std::vector<std::string>& labels = {}) const;
    [[nodiscard]] const std::map<std::string, double>& samples() const { return samples_; }
    /// Families in the order of the page, with their types.
    [[nodiscard]] const std::vector<std::pair<std::string, std::string>>& families() const {
        return families_;
    }

private:
    std::map<std::string, double> samples_;
    std::vector<std::pair<std::string, std::string>> families_;
};

}  // namespace penstock::test
