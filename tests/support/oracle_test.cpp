// The oracle judges the proxy, so it is judged first: a relay with chosen faults stands between
// scripted peers, and each fault must be named.
#include "tests/support/oracle.hpp"

#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <ostream>
#include <vector>

#include "tests/support/chaos_backend.hpp"
#include "tests/support/exchange.hpp"
#include "tests/support/proxy_process.hpp"

namespace penstock::test {
namespace {

enum class Fault : std::uint8_t {
    none,
    lose,            // leaves out 100 bytes
    duplicate,       // sends 100 bytes twice
    swap,            // two blocks in the wrong order
    cross_talk,      // bytes of another connection
    flip,            // one wrong bit
    false_fin,       // ends with FIN in the middle
    fin_for_reset,   // turns a reset into a FIN
    reset_for_fin,   // turns a FIN into a reset
    replay,          // opens a second backend connection with the same payload
};

/// A relay of one connection at a time, from the backend to the client wrong as told.
class BadRelay {
public:
    BadRelay(std::string backend, Fault fault, ConnectionId other)
        : backend_(std::move(backend)),
          fault_(fault),
          other_(other),
          front_([this](Socket& client, const ChaosBackend& me) { relay(client, me); }) {}
    [[nodiscard]] const Address& address() const { return front_.address(); }

private:
    using Bytes = std::vector<std::byte>;

    void relay(Socket& client, const ChaosBackend& me) {
        auto backend = Socket::connect(Address::parse(backend_));
        if (!backend) return;
        Bytes first_part;
        bool upward = true;
        bool downward = true;
        while ((upward || downward) && !me.stopping()) {
            pollfd entries[2] = {{upward ? client.fd() : -1, POLLIN, 0},
                                 {downward ? backend->fd() : -1, POLLIN, 0}};
            if (::poll(entries, 2, 20) <= 0) continue;
            if (entries[0].revents) upward = forward_up(client, *backend, first_part);
            if (entries[1].revents) downward = forward_down(*backend, client);
        }
    }

    bool forward_up(Socket& from, Socket& to, Bytes& first_part) {
        Bytes bytes(65536);
        const auto n = from.receive(bytes, 0ms);
        if (n <= 0) {
            n == 0 ? to.finish() : to.reset();
            return false;
        }
        bytes.resize(static_cast<std::size_t>(n));
        if (fault_ == Fault::replay && first_part.empty()) {
            first_part = bytes;
            if (auto second = Socket::connect(Address::parse(backend_))) second->send(first_part);
        }
        return to.send(bytes);
    }

    bool forward_down(Socket& from, Socket& to) {
        Bytes bytes(4096);
        const auto n = from.receive(bytes, 0ms);
        if (n <= 0) return end_down(n, to);
        bytes.resize(static_cast<std::size_t>(n));
        passed_ += bytes.size();
        if (!done_ && passed_ > 8192 && bytes.size() >= 1024) {
            done_ = true;
            if (fault_ == Fault::false_fin) {
                to.finish();
                return false;
            }
            spoil(bytes);
        }
        return to.send(bytes);
    }

    bool end_down(std::ptrdiff_t n, Socket& to) {
        const bool fin = n == 0 ? fault_ != Fault::reset_for_fin : fault_ == Fault::fin_for_reset;
        fin ? to.finish() : to.reset();
        return false;
    }

    void spoil(Bytes& bytes) {
        switch (fault_) {
            case Fault::lose: bytes.erase(bytes.begin() + 10, bytes.begin() + 110); break;
            case Fault::duplicate: {
                const Bytes part(bytes.begin() + 10, bytes.begin() + 110);
                bytes.insert(bytes.begin() + 110, part.begin(), part.end());
                break;
            }
            case Fault::swap:
                std::swap_ranges(bytes.begin(), bytes.begin() + 256, bytes.begin() + 256);
                break;
            case Fault::cross_talk:
                KeyedStream(other_, Direction::to_client).fill(5000, std::span(bytes).first(512));
                break;
            case Fault::flip: bytes[500] ^= std::byte{4}; break;
            default: break;
        }
    }

    std::string backend_;
    Fault fault_;
    ConnectionId other_;
    std::size_t passed_ = 0;
    bool done_ = false;
    ChaosBackend front_;
};

struct Case {
    const char* name;
    Fault fault;
    Plan::Then backend_then;
    const char* blamed;  // invariant, nullptr = clean
    const char* words;   // in the verdict
    friend std::ostream& operator<<(std::ostream& out, const Case& row) { return out << row.name; }
};

class OracleOnBadRelay : public testing::TestWithParam<Case> {};

TEST_P(OracleOnBadRelay, names_the_fault) {
    const Case& c = GetParam();
    Ledger ledger;
    const ConnectionId other = ledger.open();
    ChaosBackend backend(scripts::keyed(ledger, {.send = 100'000, .after_send = c.backend_then}));
    BadRelay relay(backend.text(), c.fault, other);
    run_client(relay.address(), ledger, {.send = 50'000, .deadline = 3s});
    // The backend books its side when its own plan has ended.
    const unsigned connections = c.fault == Fault::replay ? 2 : 1;
    ASSERT_TRUE(wait_for([&] { return backend.finished() == connections; }));

    Verdict verdict = judge_integrity(ledger);
    verdict.add(judge_closes(ledger));
    if (!c.blamed) {
        EXPECT_TRUE(verdict.clean()) << verdict.text();
        return;
    }
    EXPECT_TRUE(verdict.blames(c.blamed)) << verdict.text();
    EXPECT_NE(verdict.text().find(c.words), std::string::npos) << verdict.text();
}

constexpr auto fin = Plan::Then::finish;
INSTANTIATE_TEST_SUITE_P(
    Oracle, OracleOnBadRelay,
    testing::Values(Case{"none", Fault::none, fin, nullptr, ""},
                    Case{"none_with_reset", Fault::none, Plan::Then::reset, nullptr, ""},
                    Case{"lose", Fault::lose, fin, "I2", "to_client offset"},
                    Case{"duplicate", Fault::duplicate, fin, "I2", "to_client offset"},
                    Case{"swap", Fault::swap, fin, "I2", "to_client offset"},
                    Case{"cross_talk", Fault::cross_talk, fin, "I2", "to_client offset 5000"},
                    Case{"flip", Fault::flip, fin, "I2", "wrong bytes at offset"},
                    Case{"false_fin", Fault::false_fin, fin, "I3", "saw a FIN"},
                    Case{"fin_for_reset", Fault::fin_for_reset, Plan::Then::reset, "I3",
                         "did not send"},
                    Case{"reset_for_fin", Fault::reset_for_fin, fin, "I3", "reset without a cause"},
                    Case{"replay", Fault::replay, fin, "I2", "replayed"}),
    [](const auto& param_info) { return std::string(param_info.param.name); });

TEST(KeyedStream, any_piece_is_found_again_in_its_stream) {
    StreamRegistry registry;
    for (std::uint64_t serial = 1; serial <= 50; ++serial)
        registry.add({ConnectionId::from_serial(serial), Direction::to_backend});
    const ConnectionId id = ConnectionId::from_serial(17);
    const KeyedStream stream(id, Direction::to_backend);
    for (const std::uint64_t offset : {0ULL, 3ULL, 16ULL, 4097ULL, 1'000'000'007ULL}) {
        std::vector<std::byte> piece(24);
        stream.fill(offset, piece);
        EXPECT_EQ(registry.origin_of(piece),
                  "connection " + id.text() + " to_backend offset " + std::to_string(offset));
    }
    std::vector<std::byte> unknown(24);
    KeyedStream(id, Direction::to_client).fill(100, unknown);
    EXPECT_EQ(registry.origin_of(unknown), std::nullopt);
}

TEST(KeyedStream, verifier_accepts_any_cut_and_says_where_it_went_wrong) {
    const KeyedStream stream(ConnectionId::from_serial(1), Direction::to_client);
    std::vector<std::byte> bytes(10'000);
    stream.fill(0, bytes);
    StreamVerifier good(stream, nullptr);
    for (std::size_t at = 0, step = 1; at < bytes.size(); at += step, step = step * 2 + 1)
        good.feed(std::span(bytes).subspan(at, std::min(step, bytes.size() - at)));
    EXPECT_EQ(good.received(), bytes.size());
    EXPECT_FALSE(good.mismatch());

    bytes[7'777] ^= std::byte{1};
    StreamVerifier bad(stream, nullptr);
    bad.feed(std::span(bytes).first(5'000));
    bad.feed(std::span(bytes).subspan(5'000));
    ASSERT_TRUE(bad.mismatch());
    EXPECT_EQ(bad.mismatch()->offset, 7'777U);
    EXPECT_EQ(bad.received(), bytes.size());
}

// ---- The log contract

constexpr std::string_view good_line =
    R"({"event":"close","time":"2024-05-01T10:00:00.123Z","id":"a1","listener":"in","worker":0,)"
    R"("client":"127.0.0.1:5","local":"127.0.0.1:80","upstream":"in","backend":"b0",)"
    R"("backend_address":"127.0.0.1:9","backend_local":"127.0.0.1:7",)"
    R"("attempts":[{"backend":"b1","address":"127.0.0.1:8","error":"refused","ms":0.1},)"
    R"({"backend":"b0","address":"127.0.0.1:9","ms":0.2}],"connect_ms":0.2,"duration_ms":5,)"
    R"("bytes_to_backend":10,"bytes_to_client":20,"closed_by":"client","reason":"completed",)"
    R"("class":"ok"})";

std::string replaced(std::string_view from, std::string_view to) {
    std::string line(good_line);
    const auto at = line.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return line.replace(at, from.size(), to);
}

TEST(LogContract, a_good_line_is_read_completely) {
    const LogLine line = parse_log_line(good_line);
    EXPECT_EQ(line.problem, "");
    ASSERT_EQ(line.attempts.size(), 2U);
    EXPECT_EQ(line.attempts[0].error, "refused");
    EXPECT_EQ(line.attempts[1].error, "");
    EXPECT_EQ(line.reason, "completed");
    EXPECT_EQ(line.bytes_to_client, 20U);
}

TEST(LogContract, what_the_contract_forbids_is_named) {
    const auto problem = [](std::string_view from, std::string_view to) {
        return parse_log_line(replaced(from, to)).problem;
    };
    EXPECT_NE(problem("\"a1\"", "\"a\t1\""), "");                   // control character
    EXPECT_NE(problem("\"a1\"", "\"a\xC3(\""), "");                 // invalid UTF-8
    EXPECT_NE(problem("\"a1\"", "\"\xED\xA0\x80\""), "");           // surrogate
    EXPECT_NE(problem("\"id\":\"a1\",", ""), "");                   // missing
    EXPECT_NE(problem("\"id\"", "\"idd\""), "");                    // unknown key
    EXPECT_NE(problem("\"class\":\"ok\"", "\"class\":\"proxy\""), "");  // wrong class
    EXPECT_NE(problem("completed", "finished"), "");                // unknown reason
    EXPECT_NE(problem("10:00:00.123Z", "10:00:00Z"), "");           // no milliseconds
    EXPECT_NE(problem("\"duration_ms\":5", "\"duration_ms\":-5"), "");
    EXPECT_NE(problem("\"error\":\"refused\"", "\"error\":\"tired\""), "");
    EXPECT_NE(problem("\"closed_by\":\"client\"", "\"closed_by\":\"me\""), "");
    EXPECT_NE(problem("\"local\":\"127.0.0.1:80\",\"upstream\":\"in\"",
                      "\"upstream\":\"in\",\"local\":\"127.0.0.1:80\""),
              "");                                                  // order
    EXPECT_NE(parse_log_line(good_line.substr(0, 100)).problem, "");  // cut
    EXPECT_NE(parse_log_line(std::string(good_line) + std::string(good_line)).problem, "");
}

TEST(LogContract, lines_and_connections_must_match_one_to_one) {
    Ledger ledger;
    const ConnectionId id = ledger.open();
    ledger.update(id, [](ConnectionRecord& record) {
        record.client_address = "127.0.0.1:5";
        record.proxy_address = "127.0.0.1:80";
        record.client.sent = record.backend.received = 10;
        record.backend.sent = record.client.received = 20;
    });
    const LogLine line = parse_log_line(good_line);
    EXPECT_TRUE(judge_log(ledger, {line}).clean()) << judge_log(ledger, {line}).text();
    EXPECT_TRUE(judge_log(ledger, {}).blames("I7"));            // none
    EXPECT_TRUE(judge_log(ledger, {line, line}).blames("I7"));  // two
    EXPECT_TRUE(judge_log(ledger, {line, line}).blames("I8"));  // with one id
    const LogLine foreign = parse_log_line(replaced("127.0.0.1:5", "127.0.0.1:6"));
    EXPECT_TRUE(judge_log(ledger, {line, foreign}).blames("I7"));
    const LogLine elsewhere = parse_log_line(replaced("127.0.0.1:80", "127.0.0.1:81"));
    EXPECT_TRUE(judge_log(ledger, {elsewhere}).blames("I7"));

    ledger.update(id, [](ConnectionRecord& record) { record.expected_reason = "drained"; });
    EXPECT_TRUE(judge_log(ledger, {line}).blames("I8"));
    ledger.update(id, [](ConnectionRecord& record) {
        record.expected_reason = "";
        record.backend.received = 9;
    });
    EXPECT_TRUE(judge_log(ledger, {line}).blames("I7"));
}

TEST(Ledger, a_backend_that_reads_an_id_nobody_sent_is_reported) {
    Ledger ledger;
    ledger.update(ConnectionId::from_serial(999), [](ConnectionRecord&) {});
    EXPECT_TRUE(judge_integrity(ledger).blames("I2"));
}

TEST(SanitizerReports, are_recognized) {
    EXPECT_NE(sanitizer_report_in("x\n==1==ERROR: AddressSanitizer: heap-use-after-free"), "");
    EXPECT_NE(sanitizer_report_in("WARNING: ThreadSanitizer: data race (pid=1)"), "");
    EXPECT_NE(sanitizer_report_in("a.cpp:1:2: runtime error: signed integer overflow"), "");
    EXPECT_EQ(sanitizer_report_in("ready\nsome error in the log"), "");
}

}  // namespace
}  // namespace penstock::test
