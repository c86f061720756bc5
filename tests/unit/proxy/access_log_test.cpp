#include <filesystem>
#include <fstream>
#include <string>

#include <fcntl.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "proxy/access_log/format.hpp"
#include "proxy/access_log/sink.hpp"
#include "proxy/access_log/worker_log.hpp"
#include "proxy/front/client_facts.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::proxy {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

std::string json_string(std::string_view text) {
    LineBuffer out;
    append_json_string(out, text);
    return std::string(out.view());
}

std::string text_value(std::string_view text) {
    LineBuffer out;
    append_text_value(out, text);
    return std::string(out.view());
}

TEST(AccessLogFormat, L5_control_characters_quotes_and_broken_utf8_are_escaped) {
    EXPECT_EQ(json_string("plain"), "\"plain\"");
    EXPECT_EQ(json_string("a\nb"), "\"a\\nb\"");
    EXPECT_EQ(json_string("q\"\\"), "\"q\\\"\\\\\"");
    EXPECT_EQ(json_string(std::string_view("\0\x1b[31m", 6)), "\"\\u0000\\u001b[31m\"");
    EXPECT_EQ(json_string("\xff\xc0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    EXPECT_EQ(json_string("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    EXPECT_EQ(json_string("\xc3\xa9"), "\"\xc3\xa9\"");
    EXPECT_EQ(text_value("plain"), "plain");
    EXPECT_EQ(text_value("two words"), "\"two words\"");
    EXPECT_EQ(text_value("a\nb\"c"), "\"a\\x0ab\\\"c\"");
    EXPECT_EQ(text_value(""), "\"\"");
}

TEST(AccessLogFormat, L5_every_byte_string_becomes_one_parsable_json_string) {
    for (int a = 0; a < 256; ++a)
        for (int b = 0; b < 256; b += 3) {
            const char bytes[] = {static_cast<char>(a), static_cast<char>(b), 'x'};
            const auto text = json_string({bytes, 3});
            EXPECT_NO_THROW(boost::json::parse(text)) << a << ' ' << b;
            for (const char c : text) ASSERT_GE(static_cast<unsigned char>(c), 0x20);
        }
}

TEST(AccessLogFormat, long_values_are_cut_between_characters) {
    std::string text;
    while (text.size() < 1000) text += "\xc3\xa9";
    const auto cut = json_string(text);
    EXPECT_LE(cut.size(), 256U + 2);
    EXPECT_NO_THROW(boost::json::parse(cut));
}

class LineTest : public testing::Test {
protected:
    std::shared_ptr<balancer::Backend> first =
        std::make_shared<balancer::Backend>("pg", "a", *Endpoint::parse("10.0.0.1:5432"));
    balancer::Backend second{"pg", "b", *Endpoint::parse("[::1]:5432")};
    std::vector<Attempt> failed{{first, AttemptError::refused, 1203}};
    LogRecord record{
        .event = LogRecord::Event::close,
        .accepted = WallTime(milliseconds(1'700'000'000'007)),
        .id = {0xabc, 0x0001000000000002},
        .listener = "db",
        .worker = 1,
        .client = Endpoint::parse("192.0.2.9:4000")->ip(),
        .local = Endpoint::parse("192.0.2.1:5432")->ip(),
        .upstream = "pg",
        .backend = &second,
        .backend_local = Endpoint::parse("[::1]:40000")->ip(),
        .failed_attempts = failed,
        .connect_us = 101,
        .first_byte_us = 5000,
        .duration_us = 1'234'567,
        .bytes_to_backend = 10,
        .bytes_to_client = 20,
        .closed_by = ClosedBy::client,
        .reason = CloseReason::completed,
        .detail = {},
    };
};

TEST_F(LineTest, json_has_the_fields_of_the_contract_in_their_order) {
    LineBuffer out;
    append_json(out, record);
    EXPECT_EQ(std::string(out.view()),
              R"({"event":"close","time":"2023-11-14T22:13:20.007Z",)"
              R"("id":"0000000000000abc0001000000000002","listener":"db","worker":1,)"
              R"("client":"192.0.2.9:4000","local":"192.0.2.1:5432","upstream":"pg","backend":"b",)"
              R"("backend_address":"[::1]:5432","backend_local":"[::1]:40000","attempts":[)"
              R"({"backend":"a","address":"10.0.0.1:5432","error":"refused","ms":1.203},)"
              R"({"backend":"b","address":"[::1]:5432","ms":0.101}],"connect_ms":0.101,)"
              R"("first_byte_ms":5.000,"duration_ms":1234.567,"bytes_to_backend":10,)"
              R"("bytes_to_client":20,"closed_by":"client","reason":"completed","class":"ok"})"
              "\n");
}

TEST_F(LineTest, text_has_the_same_fields) {
    LineBuffer out;
    append_text(out, record);
    EXPECT_EQ(std::string(out.view()),
              "event=close time=2023-11-14T22:13:20.007Z id=0000000000000abc0001000000000002 "
              "listener=db worker=1 client=192.0.2.9:4000 local=192.0.2.1:5432 upstream=pg "
              "backend=b backend_address=[::1]:5432 backend_local=[::1]:40000 "
              "attempts=\"backend:a,address:10.0.0.1:5432,error:refused,ms:1.203;"
              "backend:b,address:[::1]:5432,ms:0.101\" connect_ms=0.101 first_byte_ms=5.000 "
              "duration_ms=1234.567 bytes_to_backend=10 bytes_to_client=20 closed_by=client "
              "reason=completed class=ok\n");
}

ClientFacts all_facts() {
    return {.peer = Endpoint::parse("127.0.0.1:9")->ip(),
            .route = "*.example",
            .server_name = "a.example",
            .alpn = "h2",
            .tls_version = "TLSv1.3",
            .tls_cipher = "TLS_AES_128_GCM_SHA256",
            .client_cert = "CN=a client,O=\"b\"",
            .tls_resumed = true,
            .tls_us = 2500};
}

TEST_F(LineTest, json_has_what_a_client_told_in_its_place) {
    const ClientFacts facts = all_facts();
    record.facts = &facts;
    record.queue_us = 7;
    record.detail = "ECONNRESET";
    LineBuffer out;
    append_json(out, record);
    const std::string line(out.view());
    EXPECT_NE(line.find(R"("client":"192.0.2.9:4000","peer":"127.0.0.1:9",)"
                        R"("local":"192.0.2.1:5432","route":"*.example","sni":"a.example",)"
                        R"("alpn":"h2","tls":{"version":"TLSv1.3",)"
                        R"("cipher":"TLS_AES_128_GCM_SHA256","resumed":true,)"
                        R"("client_cert":"CN=a client,O=\"b\""},"upstream":"pg",)"),
              std::string::npos)
        << line;
    EXPECT_NE(line.find(R"("queue_ms":0.007,"tls_ms":2.500,"connect_ms":0.101,)"),
              std::string::npos)
        << line;
    EXPECT_TRUE(line.ends_with(R"("class":"ok","detail":"ECONNRESET"})"
                               "\n"))
        << line;
    EXPECT_NO_THROW(boost::json::parse(line.substr(0, line.size() - 1)));
}

TEST_F(LineTest, text_has_what_a_client_told_as_well) {
    const ClientFacts facts = all_facts();
    record.facts = &facts;
    LineBuffer out;
    append_text(out, record);
    const std::string line(out.view());
    EXPECT_NE(line.find(" client=192.0.2.9:4000 peer=127.0.0.1:9 local=192.0.2.1:5432 "
                        "route=*.example sni=a.example alpn=h2 tls=\"version:TLSv1.3,"
                        "cipher:TLS_AES_128_GCM_SHA256,resumed:true,"
                        "client_cert:CN=a client\\,O=\\\"b\\\"\" upstream=pg "),
              std::string::npos)
        << line;
    EXPECT_NE(line.find(" tls_ms=2.500 connect_ms=0.101 "), std::string::npos) << line;
}

// A name is its client's choice: it may look like the rest of the list, and another attempt.
TEST_F(LineTest, L5_a_subject_in_a_list_of_the_text_form_is_one_value) {
    ClientFacts facts = all_facts();
    facts.client_cert = "CN=a\\,b,resumed:false;c";
    record.facts = &facts;
    LineBuffer out;
    append_text(out, record);
    EXPECT_NE(out.view().find(R"(,resumed:true,client_cert:CN=a\\\,b\,resumed:false\;c" )"),
              std::string_view::npos)
        << out.view();
}

TEST_F(LineTest, what_a_client_did_not_tell_is_absent) {
    const ClientFacts facts{.route = "2", .server_name = "a.example"};  // passed through
    record.facts = &facts;
    LineBuffer out;
    append_json(out, record);
    const std::string line(out.view());
    EXPECT_NE(line.find(R"("local":"192.0.2.1:5432","route":"2","sni":"a.example","upstream")"),
              std::string::npos)
        << line;
    for (const char* key : {"\"peer\"", "\"alpn\"", "\"tls\"", "\"tls_ms\"", "\"client_cert\""})
        EXPECT_EQ(line.find(key), std::string::npos) << key;
}

TEST_F(LineTest, the_name_that_a_client_gives_is_cut_and_escaped) {
    ClientFacts facts;
    facts.server_name = "a\n\"" + std::string(1000, 'x');
    record.facts = &facts;
    LineBuffer json;
    append_json(json, record);
    EXPECT_NE(json.view().find(R"("sni":"a\n\"xxx)"), std::string_view::npos);
    EXPECT_EQ(json.view().find(std::string(256, 'x')), std::string_view::npos);
    LineBuffer text;
    append_text(text, record);
    EXPECT_NE(text.view().find(R"(sni="a\x0a\"xxx)"), std::string_view::npos) << text.view();
    EXPECT_EQ(text.view().find(std::string(256, 'x')), std::string_view::npos);
}

TEST_F(LineTest, what_a_dry_run_let_pass_stands_at_the_end) {
    record.would_refuse.add(CloseReason::rate_source);
    record.would_refuse.add(CloseReason::denied);
    LineBuffer json;
    append_json(json, record);
    EXPECT_TRUE(json.view().ends_with(R"("class":"ok","would_refuse":["rate_source","denied"]})"
                                      "\n"))
        << json.view();
    LineBuffer text;
    append_text(text, record);
    EXPECT_TRUE(text.view().ends_with(" class=ok would_refuse=\"rate_source,denied\"\n"))
        << text.view();
}

TEST_F(LineTest, what_is_unknown_is_absent) {
    LineBuffer out;
    append_json(out, {.event = LogRecord::Event::close,
                      .accepted = record.accepted,
                      .id = record.id,
                      .listener = "db",
                      .worker = 0,
                      .client = record.client,
                      .local = {},
                      .upstream = {},
                      .backend_local = {},
                      .failed_attempts = {},
                      .closed_by = ClosedBy::proxy,
                      .reason = CloseReason::limit_process,
                      .detail = {}});
    const auto line = boost::json::parse(std::string_view(out.data(), out.size() - 1)).as_object();
    EXPECT_FALSE(line.contains("backend"));
    EXPECT_FALSE(line.contains("attempts"));
    EXPECT_FALSE(line.contains("connect_ms"));
    EXPECT_FALSE(line.contains("upstream"));
    EXPECT_EQ(line.at("class"), "proxy");
}

TEST(RefusalThrottle, N7_admits_a_hundred_a_second_of_each_kind) {
    RefusalThrottle throttle;
    ManualClock clock;
    int admitted = 0;
    for (int i = 0; i < 1000; ++i)
        admitted += throttle.admit(CloseReason::limit_process, clock.now());
    EXPECT_EQ(admitted, 100);
    EXPECT_TRUE(throttle.admit(CloseReason::no_route, clock.now()));
    clock.advance(std::chrono::seconds(1));
    EXPECT_TRUE(throttle.admit(CloseReason::limit_process, clock.now()));
}

class SinkTest : public testing::Test {
protected:
    static std::string contents(const fs::path& path) {
        std::ifstream file(path);
        return {std::istreambuf_iterator<char>(file), {}};
    }
    test::TempDir own;
    const fs::path& directory = own.path();
};

TEST_F(SinkTest, L3_reopen_follows_a_renamed_file) {
    const auto path = directory / "access.log";
    auto sink = LogSink::open(path.string());
    ASSERT_TRUE(sink);
    EXPECT_EQ((*sink)->write("one\n", milliseconds(10)).bytes, 4U);
    fs::rename(path, directory / "access.log.1");
    EXPECT_EQ((*sink)->write("two\n", milliseconds(10)).bytes, 4U);
    EXPECT_FALSE((*sink)->reopen());
    EXPECT_EQ((*sink)->write("three\n", milliseconds(10)).bytes, 6U);
    EXPECT_EQ(contents(directory / "access.log.1"), "one\ntwo\n");
    EXPECT_EQ(contents(path), "three\n");
}

TEST_F(SinkTest, H6_a_new_file_is_for_its_owner_and_group_alone_whatever_the_umask) {
    const auto path = directory / "access.log";
    const mode_t before = ::umask(0077);
    const auto sink = LogSink::open(path.string());
    ::umask(before);
    ASSERT_TRUE(sink);
    EXPECT_EQ(fs::status(path).permissions(), fs::perms(0640));
    fs::permissions(path, fs::perms(0600));
    EXPECT_FALSE((*sink)->reopen());
    EXPECT_EQ(fs::status(path).permissions(), fs::perms(0600)) << "it was there already";
}

TEST_F(SinkTest, L1_a_full_disk_is_an_error_and_not_the_end) {
    auto sink = LogSink::open("/dev/full");
    ASSERT_TRUE(sink);
    for (int i = 0; i < 3; ++i) {
        const auto written = (*sink)->write("line\n", milliseconds(10));
        EXPECT_EQ(written.bytes, 0U);
        EXPECT_EQ(written.error.value(), ENOSPC);
    }
}

TEST_F(SinkTest, L2_a_fifo_without_a_reader_fails_until_one_comes) {
    const auto path = directory / "fifo";
    ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
    auto sink = LogSink::open(path.string());
    ASSERT_TRUE(sink) << sink.error();
    EXPECT_EQ((*sink)->write("lost\n", milliseconds(10)).bytes, 0U);
    const net::UniqueFd reader(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    EXPECT_EQ((*sink)->write("kept\n", milliseconds(10)).bytes, 5U);
    char text[16];
    ASSERT_EQ(::read(reader.get(), text, sizeof text), 5);
}

TEST_F(SinkTest, L2_a_reader_that_does_not_read_costs_only_the_patience) {
    const auto path = directory / "fifo";
    ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
    const net::UniqueFd reader(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    auto sink = LogSink::open(path.string());
    ASSERT_TRUE(sink);
    const std::string lines = std::string(999, 'x') + "\n";
    LogSink::Written last;
    for (int i = 0; i < 100 && !last.error; ++i) last = (*sink)->write(lines, milliseconds(5));
    EXPECT_EQ(last.error, std::errc::timed_out);
}

TEST_F(SinkTest, L4_a_directory_that_does_not_exist_is_an_error_at_start) {
    const auto sink = LogSink::open((directory / "missing" / "access.log").string());
    ASSERT_FALSE(sink);
    EXPECT_NE(sink.error().find("missing"), std::string::npos);
}

}  // namespace
}  // namespace penstock::proxy
