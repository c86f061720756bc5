#include "net/client_hello.hpp"

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include "tests/unit/net/bytes.hpp"

namespace penstock::net {
namespace {

using Status = ClientHelloReader::Status;
using namespace std::string_literals;

constexpr std::size_t usual_max = 16384;

// ------------------------------------------------------------------ hellos by hand

std::string record(const std::string& fragment, std::size_t type = 22,
                   const std::string& version = "\x03\x01") {
    return u8(type) + version + counted(2, fragment);
}
std::string extension(std::size_t type, const std::string& body) {
    return u16(type) + counted(2, body);
}
std::string server_name_list(const std::string& entries) {
    return extension(0, counted(2, entries));
}
std::string server_name(const std::string& name) {
    return server_name_list(u8(0) + counted(2, name));
}
std::string alpn(const std::vector<std::string>& names) {
    std::string list;
    for (const auto& name : names) list += counted(1, name);
    return extension(16, counted(2, list));
}
std::string body_with(const std::string& after_random) {
    return "\x03\x03"s + std::string(32, 'r') + after_random;
}
const std::string usual_fields = counted(1, "") + counted(2, "\x13\x01") + counted(1, "\0"s);

std::string message_of(const std::string& body) { return u8(1) + counted(3, body); }
std::string message_with(const std::string& extensions) {
    return message_of(body_with(usual_fields + counted(2, extensions)));
}
std::string hello_with(const std::string& extensions) { return record(message_with(extensions)); }

// `message` in records of so many bytes.
std::string in_records(const std::string& message, std::size_t size) {
    std::string bytes;
    for (std::size_t at = 0; at < message.size(); at += size)
        bytes += record(message.substr(at, size));
    return bytes;
}

// ------------------------------------------------------------------ reading

ClientHelloReader read_text(const std::string& bytes, std::size_t max = usual_max) {
    ClientHelloReader reader(max);
    reader.feed(bytes_of(bytes));
    return reader;
}

// In pieces of one byte: how many bytes it took to tell the result.
std::size_t told_at(const std::string& bytes, std::size_t max = usual_max) {
    ClientHelloReader reader(max);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        const std::vector<char> copy{bytes[i]};
        if (reader.feed(bytes_of({copy.data(), 1})) != Status::need_more) return i + 1;
    }
    return 0;
}

void expect_hello(const std::string& bytes, const ClientHello& expected) {
    const auto whole = read_text(bytes);
    ASSERT_EQ(whole.status(), Status::complete) << whole.problem();
    EXPECT_EQ(whole.hello(), expected);
    EXPECT_EQ(told_at(bytes), bytes.size());
}

void expect_refused(const std::string& bytes, Status status) {
    const auto whole = read_text(bytes);
    EXPECT_EQ(whole.status(), status) << whole.problem();
    EXPECT_FALSE(whole.problem().empty());
    EXPECT_EQ(whole.hello(), ClientHello{});
    ClientHelloReader reader(usual_max);
    for (const char& c : bytes) reader.feed(bytes_of({&c, 1}));
    EXPECT_EQ(reader.status(), status);
}

// ------------------------------------------------------------------ OpenSSL's

/// What OpenSSL's client sends first.
std::string openssl_hello(const char* name, const std::string& protocols, int min, int max) {
    const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(
        SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
    SSL_CTX_set_min_proto_version(context.get(), min);
    SSL_CTX_set_max_proto_version(context.get(), max);
    const std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(context.get()), SSL_free);
    BIO* const in = BIO_new(BIO_s_mem());
    BIO* const out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl.get(), in, out);
    if (name != nullptr)  // SSL_set_tlsext_host_name(), without its cast
        SSL_ctrl(ssl.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                 const_cast<char*>(name));
    if (!protocols.empty())
        SSL_set_alpn_protos(ssl.get(), reinterpret_cast<const unsigned char*>(protocols.data()),
                            static_cast<unsigned>(protocols.size()));
    SSL_connect(ssl.get());
    char* data = nullptr;
    const auto size = BIO_ctrl(out, BIO_CTRL_INFO, 0, &data);
    return {data, static_cast<std::size_t>(size)};
}

TEST(ClientHello, RealHellosSplitAtEveryByte) {
    const std::string protocols = counted(1, "h2") + counted(1, "http/1.1");
    struct Case {
        std::string bytes;
        ClientHello expected;
    };
    const Case cases[] = {
        {openssl_hello("www.Example.com", protocols, 0, TLS1_3_VERSION),
         {.server_name = "www.example.com", .alpn = {"h2", "http/1.1"}}},
        {openssl_hello("www.example.com", "", 0, TLS1_2_VERSION),
         {.server_name = "www.example.com"}},
        {openssl_hello(nullptr, protocols, TLS1_3_VERSION, TLS1_3_VERSION),
         {.alpn = {"h2", "http/1.1"}}},
        {openssl_hello(nullptr, "", 0, 0), {}},
    };
    for (const auto& [bytes, expected] : cases) {
        ASSERT_GT(bytes.size(), 100U);
        expect_hello(bytes, expected);
        for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
            ClientHelloReader reader(usual_max);
            reader.feed(bytes_of(bytes).first(cut));
            ASSERT_EQ(reader.status(), cut == bytes.size() ? Status::complete : Status::need_more);
            reader.feed(bytes_of(bytes).subspan(cut));
            ASSERT_EQ(reader.hello(), expected) << cut;
        }
    }
}

// ------------------------------------------------------------------ the catalogue

TEST(ClientHello, S1_ImpossibleRecordLengthsAtOnce) {
    for (const std::size_t length : {0xffffU, 18433U, 16385U, 0U}) {
        const std::string bytes = "\x16\x03\x01"s + u16(length);
        expect_refused(bytes, Status::invalid);
        EXPECT_EQ(told_at(bytes), 5U);
    }
    EXPECT_EQ(read_text("\x16\x03\x01\x40\x00"s).status(), Status::need_more);
}

TEST(ClientHello, S2_AnyNumberOfRecords) {
    const std::string message = message_with(server_name("inside.example") + alpn({"h2"}));
    const ClientHello expected{.server_name = "inside.example", .alpn = {"h2"}};
    for (std::size_t size = 1; size <= message.size(); ++size)
        expect_hello(in_records(message, size), expected);
    // Two records, cut anywhere.
    for (std::size_t cut = 1; cut < message.size(); ++cut)
        expect_hello(record(message.substr(0, cut)) + record(message.substr(cut)), expected);
}

TEST(ClientHello, S2_OnlyRecordsOfTheHelloContinueIt) {
    const std::string message = message_with(server_name("a.example"));
    const std::string first = record(message.substr(0, 40));
    const std::string rest = message.substr(40);
    expect_refused(first + record(rest, 23), Status::invalid);
    expect_refused(first + record("\x01\x00"s, 21), Status::invalid);
    expect_refused(first + record(rest, 22, "\x02\x01"), Status::invalid);
    expect_refused(first + record(""), Status::invalid);
    expect_hello(first + record(rest, 22, "\x03\x03"), {.server_name = "a.example"});
}

TEST(ClientHello, S3_TheCapCountsTheHello) {
    const auto padded = [](std::size_t message_size) {
        const std::size_t others =
            message_with(server_name("a.example") + extension(21, "")).size();
        return message_with(server_name("a.example") +
                            extension(21, std::string(message_size - others, '\0')));
    };
    // A post-quantum key share, and the largest at the usual cap.
    expect_hello(record(padded(1800)), {.server_name = "a.example"});
    expect_hello(record(padded(16384)), {.server_name = "a.example"});
    const std::string larger = padded(16385);
    expect_refused(in_records(larger, 16384), Status::too_large);
    EXPECT_EQ(told_at(in_records(larger, 16384)), 5U + 4);  // its own length tells

    EXPECT_EQ(read_text(record(padded(512)), 512).status(), Status::complete);
    EXPECT_EQ(read_text(record(padded(513)), 512).status(), Status::too_large);
    // Headers of further records count as well: what a listener has to keep stays bounded.
    EXPECT_EQ(read_text(in_records(padded(400), 20), 400 + 19 * 5).status(), Status::complete);
    EXPECT_EQ(read_text(in_records(padded(400), 20), 400 + 19 * 5 - 1).status(), Status::too_large);
    EXPECT_EQ(read_text(record("\x01\xff\xff\xff"s)).status(), Status::too_large);
    EXPECT_EQ(read_text(record("\x01"), 0).status(), Status::too_large);
}

TEST(ClientHello, S4_Names) {
    const std::string label(63, 'a');
    const std::string longest = label + "." + label + "." + label + "." + label;  // 255
    struct Case {
        std::string given;
        std::string name;
    };
    const Case cases[] = {
        {"example.com", "example.com"},
        {"EXAMPLE.Com", "example.com"},
        {"example.com.", "example.com"},
        {"example.com..", ""},
        {".", ""},
        {".example.com", ""},
        {"a..b", ""},
        {"under_score.example", "under_score.example"},
        {"xn--bcher-kva.example", "xn--bcher-kva.example"},
        {"localhost", "localhost"},
        {"4711", "4711"},
        {longest, longest},
        {longest + ".", ""},  // 256 bytes
        {longest + "a", ""},
        {label + "a.example", ""},
        {"a\0b.example"s, ""},
        {"example.com\0"s, ""},
        {"b\xc3\xbc"s + "cher.example", ""},
        {"a b.example", ""},
        {"*.example", ""},
        {"a/b", ""},
        {"example.com:443", ""},
        {"192.0.2.1", ""},
        {"192.0.2.1.", ""},
        {"192.0.2.1.example", "192.0.2.1.example"},
        {"2001:db8::1", ""},
        {"[2001:db8::1]", ""},
    };
    for (const auto& [given, name] : cases) {
        SCOPED_TRACE(given);
        expect_hello(hello_with(server_name(given)), {.server_name = name});
    }
}

TEST(ClientHello, S4_MalformedServerNames) {
    const std::string entry = u8(0) + counted(2, "a.example");
    const std::string cases[] = {
        server_name(""),
        server_name_list(entry + entry),                         // two names
        server_name_list(u8(1) + counted(2, "a.example")),       // another type
        server_name_list(entry + u8(1) + counted(2, "x")),
        server_name_list(""),
        server_name_list(u8(0)),
        server_name_list(u8(0) + u16(10) + "a.example"),         // beyond the list
        server_name_list(u8(0) + u16(8) + "a.example"),          // a byte behind the name
        extension(0, ""),
        extension(0, u16(entry.size() + 1) + entry),
        extension(0, u16(entry.size() - 1) + entry),
        extension(0, counted(2, entry) + "x"),
        server_name("a.example") + server_name("a.example"),     // the extension twice
        server_name("a.example") + server_name("b.example"),
    };
    for (const auto& extensions : cases) expect_refused(hello_with(extensions), Status::invalid);
}

TEST(ClientHello, S4_LengthsThatContradictEachOther) {
    const std::string good = message_with(server_name("a.example") + alpn({"h2"}));
    // A body that ends anywhere, with a message header that fits it.
    for (std::size_t size = 0; size + 4 < good.size(); ++size) {
        if (size == body_with(usual_fields).size()) continue;  // without extensions: fine
        expect_refused(record(message_of(good.substr(4, size))), Status::invalid);
    }
    expect_refused(record(message_of(good.substr(4) + "x")), Status::invalid);
    const std::string id_33 = counted(1, std::string(33, 'i'));
    expect_refused(record(message_of(body_with(id_33 + usual_fields.substr(1)))), Status::invalid);
    const std::string id_32 = counted(1, std::string(32, 'i'));
    expect_hello(record(message_of(body_with(id_32 + usual_fields.substr(1)))), {});
    expect_refused(hello_with(u16(5) + u16(1)), Status::invalid);  // beyond the extensions
    expect_refused(hello_with("\x00"s), Status::invalid);
}

TEST(ClientHello, Alpn) {
    const std::string longest(255, 'p');
    expect_hello(hello_with(alpn({"h2", "\0\xff"s, longest, "h2"})),
                 {.alpn = {"h2", "\0\xff"s, longest, "h2"}});
    const std::string cases[] = {
        alpn({}),
        alpn({""}),
        alpn({"h2", ""}),
        extension(16, ""),
        extension(16, u16(4) + counted(1, "h2")),
        extension(16, u16(2) + counted(1, "h2")),
        extension(16, counted(2, "\x03h2"s)),
        alpn({"h2"}) + alpn({"h2"}),
    };
    for (const auto& extensions : cases) expect_refused(hello_with(extensions), Status::invalid);

    const auto many = read_text(hello_with(alpn(std::vector<std::string>(8000, "x"))));
    ASSERT_EQ(many.status(), Status::complete);
    EXPECT_EQ(many.hello().alpn.size(), 8000U);
}

TEST(ClientHello, S5_OtherVersions) {
    const std::string sslv2 = "\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10"s;
    expect_refused(sslv2, Status::not_tls);
    EXPECT_EQ(told_at(sslv2), 1U);
    expect_refused("\x16\x02\x00\x00\x10"s, Status::not_tls);
    const std::string message = message_with(server_name("a.example"));
    for (const std::size_t minor : {0U, 1U, 2U, 3U, 4U, 9U})
        expect_hello(record(message, 22, "\x03" + u8(minor)), {.server_name = "a.example"});
}

TEST(ClientHello, S6_NotTls) {
    for (const std::string& bytes : {"GET / HTTP/1.1\r\n\r\n"s, std::string(64, '\0'),
                                     "\x17\x03\x03\x00\x10"s, "\x15\x03\x01\x00\x02\x02\x28"s}) {
        expect_refused(bytes, Status::not_tls);
        EXPECT_EQ(told_at(bytes), 1U);
    }
    EXPECT_EQ(read_text("").status(), Status::need_more);
    expect_refused(record("\x02\x00\x00\x01x"s), Status::invalid);  // a ServerHello
    expect_refused(record("\x00\x00\x00\x00"s), Status::invalid);   // a HelloRequest
}

TEST(ClientHello, S7_WhatIsUnknownIsIgnored) {
    const std::string grease = extension(0x0a0a, "") + extension(0xfafa, "\0"s);
    const std::string ech = extension(0xfe0d, std::string(200, 'e'));
    expect_hello(hello_with(grease + ech + server_name("outer.example") + grease + ech),
                 {.server_name = "outer.example"});
    expect_hello(hello_with(""), {});
    expect_hello(record(message_of(body_with(usual_fields))), {});  // no extensions at all
    const std::string no_ciphers = counted(1, "") + counted(2, "") + counted(1, "");
    expect_hello(record(message_of(body_with(no_ciphers + counted(2, server_name("a.example"))))),
                 {.server_name = "a.example"});
}

TEST(ClientHello, WhatFollowsIsNotRead) {
    const std::string hello = hello_with(server_name("a.example"));
    auto reader = read_text(hello + "GET");
    EXPECT_EQ(reader.status(), Status::complete);
    EXPECT_EQ(reader.feed(bytes_of("anything")), Status::complete);
    EXPECT_EQ(reader.hello().server_name, "a.example");
    // More in the same record.
    EXPECT_EQ(read_text(record(message_with("") + "more")).status(), Status::complete);
    auto broken = read_text("GET");
    EXPECT_EQ(broken.feed(bytes_of(hello)), Status::not_tls);
}

}  // namespace
}  // namespace penstock::net
