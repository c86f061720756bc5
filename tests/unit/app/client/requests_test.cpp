#include "app/client/requests.hpp"

#include <map>

#include <gtest/gtest.h>

#include "app/client/address.hpp"
#include "app/client/event_parser.hpp"
#include "app/client/report.hpp"

namespace penstock::app::client {
namespace {

std::string parsed(std::string_view text) {
    const auto address = parse_admin_address(text);
    return address ? address->to_string() : "error: " + address.error();
}

TEST(ClientAddress, all_forms_are_understood) {
    EXPECT_EQ(parsed("unix:/run/penstock/admin.sock"), "unix:/run/penstock/admin.sock");
    EXPECT_EQ(parsed("unix:@penstock"), "unix:@penstock");
    EXPECT_EQ(parsed("127.0.0.1:9901"), "127.0.0.1:9901");
    EXPECT_EQ(parsed("[::1]:9901"), "[::1]:9901");
    EXPECT_EQ(parsed("localhost:9901"), "localhost:9901");
    EXPECT_EQ(parsed("http://localhost:9901"), "localhost:9901");
    EXPECT_EQ(parsed("http://[::1]:9901/"), "[::1]:9901");
}

TEST(ClientAddress, refusals_say_what_to_write) {
    for (const auto* wrong :
         {"", "localhost", "1.2.3.4", "http://", "localhost:0", "1.2.3.4:0", "::1:9901",
          "localhost:70000", "http://h:1/path", "unix:", "http://unix:/x"})
        EXPECT_TRUE(parsed(wrong).starts_with("error: ")) << wrong;
    EXPECT_TRUE(parsed("https://localhost:1").contains("no TLS"));
    EXPECT_EQ(parsed("/run/x.sock"), "error: a path needs its kind: unix:/run/x.sock");
    EXPECT_TRUE(parsed("1.2.3.4").contains("host:port"));
}

TEST(ClientAddress, the_default_is_the_socket_below_each_runtime_directory) {
    const std::map<std::string, std::string, std::less<>> variables{
        {"RUNTIME_DIRECTORY", "/run/unit"}, {"XDG_RUNTIME_DIR", "/run/user/7"}};
    const auto addresses =
        default_addresses([&](std::string_view name) -> std::optional<std::string> {
            const auto found = variables.find(name);
            if (found == variables.end()) return std::nullopt;
            return found->second;
        });
    ASSERT_EQ(addresses.size(), 3U);
    EXPECT_EQ(addresses[0].to_string(), "unix:/run/unit/admin.sock");
    EXPECT_EQ(addresses[1].to_string(), "unix:/run/penstock/admin.sock");
    EXPECT_EQ(addresses[2].to_string(), "unix:/run/user/7/penstock/admin.sock");
}

TEST(ClientAddress, the_host_header_is_what_was_asked_for) {
    EXPECT_EQ(parse_admin_address("unix:/x")->host_header(), "localhost");
    EXPECT_EQ(parse_admin_address("[::1]:80")->host_header(), "[::1]:80");
}

TEST(ClientRequests, names_are_encoded) {
    EXPECT_EQ(percent_encoded("web-1.a_b~"), "web-1.a_b~");
    EXPECT_EQ(percent_encoded("[::1]:80/x é"), "%5B%3A%3A1%5D%3A80%2Fx%20%C3%A9");
    EXPECT_EQ(percent_encoded(".."), "%2E%2E") << "would be a step upwards";
    EXPECT_EQ(with_query("/p", {{"a", ""}, {"b", "1&2"}, {"c", "x"}}), "/p?b=1%262&c=x");
    EXPECT_EQ(with_query("/p", {{"a", ""}}), "/p");
}

TEST(ClientRequests, a_backend_is_named_by_the_first_slash) {
    EXPECT_EQ(parse_backend_name("web/a"), (BackendName{"web", "a"}));
    EXPECT_EQ(parse_backend_name("web/unix:/run/x"), (BackendName{"web", "unix:/run/x"}));
    for (const auto* wrong : {"web", "/a", "web/", "", "/"})
        EXPECT_FALSE(parse_backend_name(wrong)) << wrong;
}

TEST(ClientRequests, weights_of_a_split) {
    EXPECT_EQ(parse_split({"v1=95", "v2=0"}), (SplitWeights{{"v1", 95}, {"v2", 0}}));
    for (const auto* wrong :
         {"v1", "=5", "v1=", "v1=x", "v1=5x", "v1=-1", "v1=1.5", "v1=99999999999999999999"})
        EXPECT_FALSE(parse_split({wrong})) << wrong;
    EXPECT_FALSE(parse_split({"v1=1", "v1=2"}));
}

TEST(ClientRequests, a_plan_is_about_a_text_or_the_file_of_the_proxy) {
    const auto own = plan(std::nullopt);
    EXPECT_EQ(own.target, "/api/v1/plan");
    EXPECT_EQ(own.body, "");
    EXPECT_TRUE(own.post);
    const auto other = plan(ConfigurationText{.file = "/etc/new one.toml", .text = "[process]\n"});
    EXPECT_EQ(other.target, "/api/v1/plan?file=%2Fetc%2Fnew%20one.toml");
    EXPECT_EQ(other.body, "[process]\n");
    EXPECT_EQ(other.type, "application/toml");
    EXPECT_EQ(plan(ConfigurationText{.file = "", .text = "x"}).target, "/api/v1/plan");
}

TEST(ClientRequests, what_takes_long_is_waited_for) {
    EXPECT_EQ(reload("").body, "{}");
    EXPECT_EQ(reload("7f3a91").body, R"({"expect":"7f3a91"})");
    EXPECT_EQ(reload("").target, "/api/v1/reload");
    EXPECT_EQ(upgrade().target, "/api/v1/upgrade");
    EXPECT_GE(plan(std::nullopt).patience, std::chrono::seconds(30));
    EXPECT_GE(reload("").patience, std::chrono::seconds(30));
    EXPECT_GT(upgrade().patience, std::chrono::minutes(1)) << "a new process may take a minute";
}

TEST(ClientReport, exit_statuses) {
    EXPECT_EQ(exit_status_of({.kind = ClientError::Kind::unreachable}), ExitStatus::unreachable);
    EXPECT_EQ(exit_status_of({.kind = ClientError::Kind::refused}), ExitStatus::failure);
    EXPECT_EQ(exit_status_of({.kind = ClientError::Kind::failed}), ExitStatus::failure);
}

std::string events_of(std::string_view stream, std::size_t piece) {
    EventParser parser;
    std::string out;
    for (std::size_t at = 0; at < stream.size(); at += piece) {
        EXPECT_TRUE(parser.feed(stream.substr(at, piece)));
        while (const auto event = parser.next()) out += event->name + "=" + event->data + ";";
    }
    return out;
}

TEST(ClientEvents, are_cut_out_of_the_stream_however_it_comes) {
    constexpr std::string_view stream =
        ": a comment\n"
        "id: 4\nevent: status\ndata: {\"a\":1}\n\n"
        "event: nothing\n\n"
        "data: one\r\ndata:two\r\n\r\n"
        "event: cut off\ndata: x\n";
    for (std::size_t piece = 1; piece <= stream.size(); ++piece)
        EXPECT_EQ(events_of(stream, piece), "status={\"a\":1};message=one\ntwo;") << piece;
}

TEST(ClientEvents, one_that_never_ends_is_refused) {
    EventParser parser;
    const std::string much = "data: " + std::string(1UL << 20U, 'x') + "\n";
    std::size_t taken = 0;
    while (parser.feed(much) && taken < 100) {
        EXPECT_FALSE(parser.next());
        ++taken;
    }
    EXPECT_GT(taken, 10U);
    EXPECT_LT(taken, 100U);
}

}  // namespace
}  // namespace penstock::app::client
