#include "tests/support/admin_client.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <sstream>

#include "tests/support/socket.hpp"

namespace penstock::test {

namespace {

std::string lower(std::string text) {
    std::ranges::transform(text, text.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text;
}

HttpAnswer parse_answer(const std::string& text) {
    HttpAnswer answer;
    const auto head_end = text.find("\r\n\r\n");
    if (!text.starts_with("HTTP/1.1 ") || head_end == std::string::npos) return answer;
    answer.status = std::atoi(text.c_str() + 9);
    std::istringstream head(text.substr(0, head_end));
    std::string line;
    std::getline(head, line);
    while (std::getline(head, line)) {
        if (line.ends_with('\r')) line.pop_back();
        const auto colon = line.find(": ");
        if (colon != std::string::npos)
            answer.header[lower(line.substr(0, colon))] = line.substr(colon + 2);
    }
    answer.body = text.substr(head_end + 4);
    return answer;
}

bool has_header(const AdminRequest& request, const std::string& name) {
    return std::ranges::any_of(request.header, [&](const std::string& line) {
        return lower(line).starts_with(name + ":");
    });
}

}  // namespace

HttpAnswer AdminClient::send(const AdminRequest& request, milliseconds limit) const {
    std::string text = request.method + " " + request.target + " HTTP/1.1\r\n";
    for (const auto& line : request.header) text += line + "\r\n";
    if (!has_header(request, "host")) text += "Host: localhost\r\n";
    if (!has_header(request, "connection")) text += "Connection: close\r\n";
    if (!request.body.empty() || request.method == "POST")
        text += "Content-Length: " + std::to_string(request.body.size()) + "\r\n";
    return parse_answer(exchange(text + "\r\n" + request.body, limit));
}

std::string AdminClient::exchange(const std::string& bytes, milliseconds limit) const {
    auto socket = Socket::connect(Address::parse(address_), {}, limit);
    if (!socket || !socket->send(bytes, limit)) return {};
    std::string text;
    std::array<std::byte, 65536> buffer;
    for (;;) {
        const auto got = socket->receive(buffer, limit);
        if (got <= 0) return text;
        text.append(reinterpret_cast<const char*>(buffer.data()), static_cast<std::size_t>(got));
    }
}

MetricsPage::MetricsPage(const std::string& text) {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with("# TYPE ")) {
            const auto space = line.rfind(' ');
            families_.emplace_back(line.substr(7, space - 7), line.substr(space + 1));
        }
        if (line.empty() || line.starts_with('#')) continue;
        const auto space = line.rfind(' ');
        const std::string number = line.substr(space + 1);
        const bool is_new =
            samples_.emplace(line.substr(0, space), std::strtod(number.c_str(), nullptr)).second;
        if (!is_new) ADD_FAILURE() << "twice on the page: " << line;
    }
}

double MetricsPage::value(const std::string& sample) const {
    const auto found = samples_.find(sample);
    if (found != samples_.end()) return found->second;
    ADD_FAILURE() << "not on the page: " << sample;
    return -1;
}

double MetricsPage::sum(const std::string& name, const std::vector<std::string>& labels) const {
    double sum = 0;
    for (const auto& [sample, value] : samples_) {
        const auto brace = sample.find('{');
        if (sample.substr(0, brace) != name) continue;
        const bool all = std::ranges::all_of(labels, [&](const std::string& label) {
            return sample.find("{" + label) != std::string::npos ||
                   sample.find("," + label) != std::string::npos;
        });
        if (all) sum += value;
    }
    return sum;
}

}  // namespace penstock::test
