#include "tests/support/counter_check.hpp"

#include <set>
#include <sstream>

namespace penstock::test {

namespace {

template <typename A, typename B>
void compare(std::vector<std::string>& out, const std::string& what, A counted, B expected) {
    if (counted == static_cast<A>(expected)) return;
    std::ostringstream text;
    text << what << ": counted " << counted << ", not " << expected;
    out.push_back(text.str());
}

std::string label(const char* name, const std::string& value) {
    return std::string(name) + "=\"" + value + "\"";
}

}  // namespace

std::vector<std::string> contradictions(const MetricsPage& page) {
    std::vector<std::string> found;
    for (const auto& [sample, value] : page.samples())
        if (value < 0) found.push_back(sample + " is negative");
    const double accepted = page.sum("penstock_listener_connections_total");
    const double closed = page.sum("penstock_sessions_closed_total");
    const double active = page.sum("penstock_connections_active");
    // A page of a busy proxy is not one moment: it may know an end before its connection.
    if (active == 0) compare(found, "accepted", accepted, closed);
    if (active != 0) return found;
    // Who was refused at the door had no lifetime; who was refused for what came behind a PROXY
    // header had one.
    const double lived = page.sum("penstock_session_duration_seconds_count");
    const double at_the_door =
        page.sum("penstock_listener_refused_total") +
        page.sum("penstock_sessions_closed_total", {"reason=\"proxy_header_untrusted\""});
    if (lived > closed) compare(found, "lifetimes", lived, closed);
    if (lived < closed - at_the_door) compare(found, "lifetimes", lived, closed - at_the_door);
    return found;
}

std::vector<std::string> differences(const MetricsPage& page, const std::vector<LogLine>& log) {
    std::map<std::string, unsigned> closed;  // by listener, upstream, reason
    std::map<std::string, std::uint64_t> to_backend;
    std::map<std::string, std::uint64_t> to_client;
    std::map<std::string, std::uint64_t> failures;
    std::map<std::string, unsigned> per_backend;
    for (const auto& line : log) {
        if (line.event != "close") continue;
        ++closed[label("listener", line.listener) + "," + label("upstream", line.upstream) + "," +
                 label("reason", line.reason) + "," + label("class", line.close_class)];
        to_backend[line.listener] += line.bytes_to_backend;
        to_client[line.listener] += line.bytes_to_client;
        if (!line.backend.empty())
            ++per_backend[label("upstream", line.upstream) + "," + label("backend", line.backend) +
                          "," + label("class", line.close_class)];
    }
    std::vector<std::string> found;
    double all = 0;
    for (const auto& [labels, count] : closed) {
        const std::string sample = "penstock_sessions_closed_total{" + labels + "}";
        compare(found, sample, page.has(sample) ? page.samples().at(sample) : -1, count);
        all += count;
    }
    compare(found, "connections that ended", page.sum("penstock_sessions_closed_total"), all);
    for (const auto& [listener, bytes] : to_backend) {
        const std::string of = label("listener", listener);
        compare(found, "bytes to backends of " + listener,
                page.sum("penstock_listener_bytes_total", {of, label("direction", "to_backend")}),
                bytes);
        compare(found, "bytes to clients of " + listener,
                page.sum("penstock_listener_bytes_total", {of, label("direction", "to_client")}),
                to_client[listener]);
    }
    for (const auto& [labels, count] : per_backend) {
        const std::string sample = "penstock_backend_sessions_closed_total{" + labels + "}";
        compare(found, sample, page.has(sample) ? page.samples().at(sample) : -1, count);
    }
    return found;
}

}  // namespace penstock::test
