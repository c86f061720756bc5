#include "proxy/access_log/format.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <boost/json/serializer.hpp>

#include "proxy/front/client_facts.hpp"

namespace penstock::proxy {

namespace {

constexpr std::size_t longest_value = 256;
constexpr std::string_view replacement = "\xef\xbf\xbd";  // U+FFFD

// Length of the valid UTF-8 sequence at the start of `s`, 0 if there is none (RFC 3629).
std::size_t utf8_length(std::string_view s) noexcept {
    const auto byte = [s](std::size_t i) { return static_cast<unsigned char>(s[i]); };
    const unsigned char first = byte(0);
    if (first < 0x80) return 1;
    const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || s.size() < length) return 0;
    for (std::size_t i = 1; i < length; ++i)
        if ((byte(i) & 0xc0) != 0x80) return 0;
    if ((first == 0xe0 && byte(1) < 0xa0) || (first == 0xed && byte(1) > 0x9f) ||
        (first == 0xf0 && byte(1) < 0x90) || (first == 0xf4 && byte(1) > 0x8f))
        return 0;
    return length;
}

bool is_plain(std::string_view text) noexcept {
    return std::ranges::all_of(
        text, [](char c) { return c > 0x20 && c < 0x7f && c != '"' && c != '\\'; });
}

// Valid UTF-8 of at most longest_value bytes, cut between characters.
class CleanText {
public:
    explicit CleanText(std::string_view text) noexcept {
        while (!text.empty()) {
            const std::size_t length = utf8_length(text);
            const auto piece = length == 0 ? replacement : text.substr(0, length);
            if (size_ + piece.size() > longest_value) return;
            piece.copy(bytes_ + size_, piece.size());
            size_ += piece.size();
            text.remove_prefix(std::max<std::size_t>(length, 1));
        }
    }
    [[nodiscard]] std::string_view view() const noexcept { return {bytes_, size_}; }

private:
    char bytes_[longest_value];
    std::size_t size_ = 0;
};

constexpr std::string_view hex_digits = "0123456789abcdef";

// The inside of a quoted value of the text form. `also`: has a meaning there.
void append_escaped(LineBuffer& out, std::string_view value, std::string_view also = {}) {
    const CleanText clean(value);
    for (const char c : clean.view()) {
        if (const auto byte = static_cast<unsigned char>(c); byte < 0x20 || byte == 0x7f) {
            const char escape[4] = {'\\', 'x', hex_digits[byte >> 4], hex_digits[byte & 15]};
            out.append({escape, 4});
            continue;
        }
        if (c == '"' || c == '\\' || also.contains(c)) out.append('\\');
        out.append(c);
    }
}

// Milliseconds with three decimals, from microseconds.
void append_ms(LineBuffer& out, std::uint64_t us) {
    out.append_number(us / 1000);
    const auto rest = static_cast<unsigned>(us % 1000);
    const char decimals[4] = {'.', static_cast<char>('0' + rest / 100),
                              static_cast<char>('0' + rest / 10 % 10),
                              static_cast<char>('0' + rest % 10)};
    out.append({decimals, 4});
}

void append_two(LineBuffer& out, unsigned value) {
    out.append(static_cast<char>('0' + value / 10));
    out.append(static_cast<char>('0' + value % 10));
}

void append_time(LineBuffer& out, WallTime time) {
    const auto day = std::chrono::floor<std::chrono::days>(time);
    const std::chrono::year_month_day date(day);
    const std::chrono::hh_mm_ss clock(time - day);
    out.append_number(static_cast<int>(date.year()));
    out.append('-');
    append_two(out, static_cast<unsigned>(date.month()));
    out.append('-');
    append_two(out, static_cast<unsigned>(date.day()));
    out.append('T');
    append_two(out, static_cast<unsigned>(clock.hours().count()));
    out.append(':');
    append_two(out, static_cast<unsigned>(clock.minutes().count()));
    out.append(':');
    append_two(out, static_cast<unsigned>(clock.seconds().count()));
    const auto ms = static_cast<unsigned>(clock.subseconds().count());
    out.append('.');
    out.append(static_cast<char>('0' + ms / 100));
    append_two(out, ms % 100);
    out.append('Z');
}

void append_hex(LineBuffer& out, std::uint64_t value) {
    char* text = out.room(16);
    for (int shift = 60; shift >= 0; shift -= 4) *text++ = hex_digits[(value >> shift) & 15];
    out.commit(16);
}

void append_endpoint(LineBuffer& out, const CompactEndpoint& endpoint) {
    out.commit(endpoint.format_to(out.room(CompactEndpoint::max_text_size)));
}

// The two forms differ in the punctuation around keys, strings and lists only.
class JsonForm {
public:
    explicit JsonForm(LineBuffer& out) : out_(out) { out_.append('{'); }
    void key(std::string_view name) {
        separate();
        out_.append('"');
        out_.append(name);
        out_.append("\":");
    }
    void text(std::string_view value) { append_json_string(out_, value); }
    void quote() { out_.append('"'); }
    void begin_list() { out_.append('['); }
    void end_list() { out_.append(']'); }
    void begin_object() {
        out_.append('{');
        first_ = true;
    }
    void end_object() { end_item(); }
    void begin_item(bool first) {
        out_.append(first ? "{" : ",{");
        first_ = true;
    }
    void end_item() {
        out_.append('}');
        first_ = false;
    }
    void end() { out_.append("}\n"); }

private:
    void separate() {
        if (!first_) out_.append(',');
        first_ = false;
    }
    LineBuffer& out_;
    bool first_ = true;
};

class TextForm {
public:
    explicit TextForm(LineBuffer& out) : out_(out) {}
    void key(std::string_view name) {
        if (!first_) out_.append(in_list_ ? ',' : ' ');
        first_ = false;
        out_.append(name);
        out_.append(in_list_ ? ':' : '=');
    }
    void text(std::string_view value) {
        // A colon says nothing behind the one of the key.
        if (in_list_)
            append_escaped(out_, value, ",;");
        else
            append_text_value(out_, value);
    }
    void quote() {}
    void begin_list() {
        out_.append('"');
        in_list_ = true;
    }
    void end_list() {
        out_.append('"');
        in_list_ = false;
    }
    void begin_object() {
        begin_list();
        first_ = true;
    }
    void end_object() {
        end_list();
        first_ = false;
    }
    void begin_item(bool first) {
        if (!first) out_.append(';');
        first_ = true;
    }
    void end_item() { first_ = false; }
    void end() { out_.append('\n'); }

private:
    LineBuffer& out_;
    bool first_ = true;
    bool in_list_ = false;
};

template <typename Form>
class LineWriter {
public:
    LineWriter(LineBuffer& out, const LogRecord& record) : out_(out), record_(record), form_(out) {}

    void write() {
        const bool close = record_.event == LogRecord::Event::close;
        text("event", close ? "close" : "open");
        quoted("time", [this] { append_time(out_, record_.accepted); });
        quoted("id", [this] {
            append_hex(out_, record_.id.process);
            append_hex(out_, record_.id.sequence);
        });
        text("listener", record_.listener);
        number("worker", record_.worker);
        endpoint("client", record_.client);
        if (record_.facts != nullptr) endpoint("peer", record_.facts->peer);
        endpoint("local", record_.local);
        if (record_.facts != nullptr) facts(*record_.facts);
        text("upstream", record_.upstream);
        if (record_.backend != nullptr) {
            text("backend", record_.backend->name());
            text("backend_address", record_.backend->address_text());
        }
        endpoint("backend_local", record_.backend_local);
        attempts();
        if (record_.warm) boolean("warm");
        if (close) ending();
        would_refuse();
        form_.end();
    }

private:
    void text(std::string_view key, std::string_view value) {
        if (value.empty()) return;
        form_.key(key);
        form_.text(value);
    }
    template <typename Write>
    void quoted(std::string_view key, Write write) {
        form_.key(key);
        form_.quote();
        write();
        form_.quote();
    }
    void number(std::string_view key, std::uint64_t value) {
        form_.key(key);
        out_.append_number(value);
    }
    void boolean(std::string_view key, bool value = true) {
        form_.key(key);
        out_.append(value ? "true" : "false");
    }
    void ms(std::string_view key, std::uint64_t us) {
        form_.key(key);
        append_ms(out_, us);
    }
    void endpoint(std::string_view key, const CompactEndpoint& value) {
        if (!value.empty()) quoted(key, [&] { append_endpoint(out_, value); });
    }

    void facts(const ClientFacts& facts) {
        text("route", facts.route);
        text("sni", facts.server_name);
        text("alpn", facts.alpn);
        if (facts.tls_version.empty()) return;
        form_.key("tls");
        form_.begin_object();
        text("version", facts.tls_version);
        text("cipher", facts.tls_cipher);
        boolean("resumed", facts.tls_resumed);
        text("client_cert", facts.client_cert);
        form_.end_object();
    }

    void attempts() {
        const bool connected = record_.connect_us != unknown_time && record_.backend != nullptr;
        if (record_.failed_attempts.empty() && !connected) return;
        form_.key("attempts");
        form_.begin_list();
        bool first = true;
        for (const auto& failed : record_.failed_attempts)
            attempt(*failed.backend, failed.error, failed.took_us, std::exchange(first, false));
        if (connected) attempt(*record_.backend, AttemptError::none, record_.connect_us, first);
        form_.end_list();
    }
    void attempt(const balancer::Backend& backend, AttemptError error, std::uint32_t us,
                 bool first) {
        form_.begin_item(first);
        text("backend", backend.name());
        text("address", backend.address_text());
        text("error", name_of(error));
        ms("ms", us);
        form_.end_item();
    }

    void would_refuse() {
        if (record_.would_refuse.empty()) return;
        form_.key("would_refuse");
        form_.begin_list();
        bool first = true;
        record_.would_refuse.for_each([&](CloseReason reason) {
            if (!std::exchange(first, false)) out_.append(',');
            form_.text(name_of(reason));
        });
        form_.end_list();
    }

    void ending() {
        if (record_.queue_us != unknown_time) ms("queue_ms", record_.queue_us);
        if (record_.facts != nullptr && record_.facts->tls_us != unknown_time)
            ms("tls_ms", record_.facts->tls_us);
        if (record_.connect_us != unknown_time) ms("connect_ms", record_.connect_us);
        if (record_.first_byte_us != unknown_time) ms("first_byte_ms", record_.first_byte_us);
        ms("duration_ms", record_.duration_us);
        number("bytes_to_backend", record_.bytes_to_backend);
        number("bytes_to_client", record_.bytes_to_client);
        text("closed_by", name_of(record_.closed_by));
        text("reason", name_of(record_.reason));
        text("class", name_of(class_of(record_.reason)));
        text("detail", record_.detail);
    }

    LineBuffer& out_;
    const LogRecord& record_;
    Form form_;
};

}  // namespace

void append_json_string(LineBuffer& out, std::string_view value) {
    out.append('"');
    if (value.size() <= longest_value && is_plain(value)) {
        out.append(value);
        out.append('"');
        return;
    }
    const CleanText clean(value);
    boost::json::serializer serializer;
    serializer.reset(boost::json::string_view(clean.view().data(), clean.view().size()));
    char escaped[longest_value * 6 + 2];
    const auto text = serializer.read(escaped);
    out.append(std::string_view(text.data(), text.size()).substr(1));  // it brings both quotes
}

void append_text_value(LineBuffer& out, std::string_view value) {
    if (value.size() <= longest_value && !value.empty() && is_plain(value) && !value.contains('='))
        return out.append(value);
    out.append('"');
    append_escaped(out, value);
    out.append('"');
}

void append_json(LineBuffer& out, const LogRecord& record) {
    LineWriter<JsonForm>(out, record).write();
}

void append_text(LineBuffer& out, const LogRecord& record) {
    LineWriter<TextForm>(out, record).write();
}

}  // namespace penstock::proxy
