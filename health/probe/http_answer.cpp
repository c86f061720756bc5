#include "health/probe/http_answer.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include <boost/asio/buffer.hpp>
#include <boost/beast/core/buffers_range.hpp>
#include <boost/beast/http/parser.hpp>
#include <fmt/format.h>

#include "health/probe/detail.hpp"

namespace penstock::health {

namespace http = boost::beast::http;

namespace {

constexpr unsigned switching_protocols = 101;
constexpr std::string_view signature = "HTTP/";

bool is_interim(unsigned status) noexcept { return status < 200 && status != switching_protocols; }

bool is_among(const std::vector<config::StatusRange>& ranges, unsigned status) noexcept {
    return std::ranges::any_of(ranges, [status](const config::StatusRange& range) {
        return status >= range.first && status <= range.last;
    });
}

// As Beast's string_body, which reserves as much memory as the server says that it will send.
struct TextBody {
    using value_type = std::string;

    class reader {  // NOLINT(readability-identifier-naming): Beast looks for this name
    public:
        template <bool IsRequest, class Fields>
        reader(http::header<IsRequest, Fields>&, value_type& text) : text_(text) {}
        void init(const boost::optional<std::uint64_t>&, boost::beast::error_code& error) {
            error = {};
        }
        template <class Buffers>
        std::size_t put(const Buffers& buffers, boost::beast::error_code& error) {
            error = {};
            const std::size_t before = text_.size();
            for (const auto buffer : boost::beast::buffers_range_ref(buffers))
                text_.append(static_cast<const char*>(buffer.data()), buffer.size());
            return text_.size() - before;
        }
        void finish(boost::beast::error_code& error) { error = {}; }

    private:
        value_type& text_;
    };
};

}  // namespace

struct HttpAnswer::Impl {
    explicit Impl(const config::HttpCheck& given) : settings(given) { next_message(); }

    const config::HttpCheck& settings;
    std::optional<http::response_parser<TextBody>> parser;
    std::string unparsed;
    std::string beginning;  // for what is said of an answer that is none
    std::size_t taken = 0;
    std::size_t searched = 0;  // so much of the body lacks what we look for, and cannot begin it

    void next_message() {
        parser.emplace();
        // What bounds header and body is max_answer, for both together.
        parser->header_limit(static_cast<std::uint32_t>(Probe::max_answer) * 2);
        parser->body_limit(boost::none);
        parser->skip(settings.method == "HEAD");
    }

    [[nodiscard]] unsigned status() const { return parser->get().result_int(); }

    [[nodiscard]] Role role() const {
        if (is_among(settings.primary_status, status())) return Role::primary;
        if (is_among(settings.replica_status, status())) return Role::replica;
        return Role::none;
    }

    [[nodiscard]] std::string status_text() const { return fmt::format("HTTP {}", status()); }

    [[nodiscard]] std::string lacks() const {
        return fmt::format("{}, body lacks {}", status_text(), quoted(settings.body_contains));
    }

    // Nothing: it depends on the body.
    [[nodiscard]] std::optional<ProbeResult> judge_status() const {
        const bool is_wanted = role() != Role::none || is_among(settings.status, status());
        if (!is_wanted) return failure(status_text());
        if (settings.body_contains.empty()) return success(status_text(), role());
        return std::nullopt;
    }

    [[nodiscard]] std::optional<ProbeResult> judge_body() {
        const std::string& body = parser->get().body();
        const std::string& wanted = settings.body_contains;
        if (body.find(wanted, searched) != std::string::npos) return success(status_text(), role());
        if (parser->is_done()) return failure(lacks(), role());
        if (body.size() >= wanted.size()) searched = body.size() - wanted.size() + 1;
        return std::nullopt;
    }

    [[nodiscard]] ProbeResult not_parsed(const boost::beast::error_code& error) const {
        if (parser->is_header_done())
            return failure(fmt::format("{} ({})", lacks(), error.message()), role());
        return failure(
            fmt::format("broken HTTP answer ({}): {}", error.message(), quoted(beginning)));
    }

    // One step of the parser; nothing and `more` = the next step can go on with what is there.
    [[nodiscard]] std::optional<ProbeResult> step(bool& more) {
        boost::beast::error_code error;
        const std::size_t used =
            parser->put(boost::asio::const_buffer(unparsed.data(), unparsed.size()), error);
        unparsed.erase(0, used);
        more = !error && !unparsed.empty();
        if (error && error != http::error::need_more) return not_parsed(error);
        if (!parser->is_header_done()) return std::nullopt;
        if (is_interim(status())) {
            next_message();
            return std::nullopt;
        }
        if (auto verdict = judge_status()) return verdict;
        return judge_body();
    }
};

HttpAnswer::HttpAnswer(const config::HttpCheck& settings)
    : impl_(std::make_unique<Impl>(settings)) {}
HttpAnswer::~HttpAnswer() = default;

std::optional<ProbeResult> HttpAnswer::add(std::string_view bytes) {
    auto& self = *impl_;
    bytes = bytes.substr(0, Probe::max_answer - self.taken);
    self.taken += bytes.size();
    self.unparsed += bytes;
    self.beginning +=
        bytes.substr(0, max_excerpt + 1 - std::min(self.beginning.size(), max_excerpt + 1));
    const auto shown = std::string_view(self.beginning).substr(0, signature.size());
    if (!signature.starts_with(shown))
        return failure("answer is not HTTP: " + quoted(self.beginning));
    bool more = !self.unparsed.empty();
    while (more)
        if (auto verdict = self.step(more)) return verdict;
    if (self.taken < Probe::max_answer) return std::nullopt;
    if (self.parser->is_header_done())
        return failure(self.lacks() + " in its first 64 KiB", self.role());
    return failure("answer has no end of its header within 64 KiB");
}

ProbeResult HttpAnswer::end(std::string_view why) {
    const auto& self = *impl_;
    const std::string cause(why.empty() ? "closed by the server" : why);
    if (self.parser->is_header_done())
        return failure(why.empty() ? self.lacks() : fmt::format("{}: {}", why, self.lacks()),
                       self.role());
    if (self.beginning.empty()) return failure(why.empty() ? cause + " without an answer" : cause);
    return failure(fmt::format("{}: the header has not ended: {}", cause, quoted(self.beginning)));
}

}  // namespace penstock::health
