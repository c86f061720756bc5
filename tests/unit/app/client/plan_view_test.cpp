// What an operator reads before and after a change of the configuration, as golden texts.
#include "app/client/plan_view.hpp"

#include <boost/json/parse.hpp>
#include <gtest/gtest.h>

namespace penstock::app::client {
namespace {

constexpr Canvas plain{};

const json::value& example() {
    static const json::value value = json::parse(R"({"digest":"7f3a91","changes":[
{"op":"change","what":"upstream web","key":"connect_timeout","from":"4s","to":"1s","effect":"new connections only","sessions":0},
{"op":"change","what":"upstream web","key":"tries","from":null,"to":"2","effect":"new connections only","sessions":0},
{"op":"add","what":"upstream web backend d","key":null,"from":null,"to":"10.0.0.4:8080","effect":"slow start 30s","sessions":0},
{"op":"add","what":"listener api","key":null,"from":null,"to":"0.0.0.0:81","effect":null,"sessions":0},
{"op":"remove","what":"upstream web backend a","key":null,"from":"10.0.0.1:8080","to":null,"effect":"drain: wait 5m, then over 30s","sessions":412},
{"op":"kept_override","what":"upstream web backend b","key":"weight","from":"1","to":"5","effect":null,"sessions":0},
{"op":"change","what":"upstream cache backend m1","key":"weight","from":"1","to":"2","effect":"24.9 % of keys move","sessions":0,"balance":"maglev"},
{"op":"restart","what":"process","key":"workers","from":"4","to":"8","effect":null,"sessions":0},
{"op":"change","what":"log","key":"level","from":"info","to":"debug","effect":"at once","sessions":0}],
"sessions":{"closed_now":0,"draining":412},"errors":[],"warnings":[]})");
    return value;
}

constexpr std::string_view example_lines = R"(~ upstream web
    ~ connect_timeout  4s -> 1s   new connections only
    ~ tries            none -> 2  new connections only
    + backend d 10.0.0.4:8080     slow start 30s
    - backend a 10.0.0.1:8080     412 sessions drain: wait 5m, then over 30s
    ! backend b weight 1          overridden: 5, kept
+ listener api 0.0.0.0:81
~ upstream cache (maglev)
    ~ backend m1 weight  1 -> 2   24.9 % of keys move
! process.workers 4 -> 8          needs a restart
~ log.level  info -> debug        at once
)";

TEST(PlanView, lists_changes_below_whom_they_concern) {
    EXPECT_EQ(plan_view(example(), plain), std::string(example_lines) +
                                               "0 sessions closed now, 412 draining. "
                                               "Apply with: penstock reload --expect 7f3a91\n");
}

TEST(PlanView, a_reload_shows_the_same_as_done) {
    EXPECT_EQ(reload_view(example(), plain),
              std::string(example_lines) + "reloaded: 0 sessions closed now, 412 draining\n");
}

TEST(PlanView, one_line_says_that_nothing_changes) {
    const auto nothing = json::parse(R"({"digest":"000000","changes":[],"applied":true})");
    EXPECT_EQ(plan_view(nothing, plain), "no changes: this is the configuration in force\n");
    EXPECT_EQ(reload_view(nothing, plain), "reloaded: nothing has changed\n");
}

TEST(PlanView, an_override_that_is_kept_is_no_change) {
    const auto kept = json::parse(R"({"digest":"000000","changes":[
{"op":"kept_override","what":"upstream web backend b","key":"weight","from":"1","to":"5"}]})");
    EXPECT_FALSE(has_changes(kept));
    EXPECT_EQ(plan_view(kept, plain),
              "~ upstream web\n"
              "    ! backend b weight 1  overridden: 5, kept\n"
              "no changes: this is the configuration in force\n");
    EXPECT_TRUE(reload_view(kept, plain).ends_with("kept\nreloaded: nothing has changed\n"));
    EXPECT_FALSE(has_changes(json::parse(R"({"changes":[]})")));
    EXPECT_TRUE(has_changes(json::parse(R"({"changes":[{"op":"restart"}]})")));
    EXPECT_TRUE(has_changes(example()));
}

std::string line_of_change(const std::string& members) {
    const auto text = plan_view(json::parse(R"({"changes":[{)" + members + "}]}"), plain);
    return text.substr(0, text.find("0 sessions closed now"));
}

TEST(PlanView, whole_listeners_and_upstreams_come_and_go_with_what_they_have) {
    EXPECT_EQ(plan_view(json::parse(R"({"changes":[
{"op":"add","what":"upstream new backend a","to":"10.0.0.1:80"},
{"op":"add","what":"upstream new"},
{"op":"remove","what":"listener old","from":"[::]:80","effect":"closes its port","sessions":1}],
"sessions":{"closed_now":1,"draining":1234}})"),
                        plain),
              "+ upstream new\n"
              "    + backend a 10.0.0.1:80\n"
              "- listener old [::]:80       1 session closes its port\n"
              "1 session closed now, 1,234 draining.\n");
}

TEST(PlanView, the_number_of_sessions_is_part_of_the_effect) {
    const auto effect = [](const std::string& text) {
        const auto line =
            line_of_change(R"("op":"remove","what":"log","key":"x","sessions":3,"effect":)" + text);
        return line.substr(std::string_view("- log.x  ").size());
    };
    EXPECT_EQ(effect(R"("drain: wait 5m")"), "3 sessions drain: wait 5m\n");
    EXPECT_EQ(effect(R"("end at once")"), "3 sessions end at once\n");
    EXPECT_EQ(effect(R"("new connections only")"), "new connections only, 3 sessions\n");
    EXPECT_EQ(effect(R"("3 sessions drain")"), "3 sessions drain\n");
    EXPECT_EQ(effect(R"("its sessions drain")"), "its sessions drain, 3 sessions\n");
    EXPECT_EQ(effect("null"), "3 sessions end\n");
}

TEST(PlanView, no_change_of_an_answer_gets_lost) {
    EXPECT_EQ(line_of_change(R"("op":"change","what":"admin listener unix:/x","key":"access",)"
                             R"("from":"read","to":"full")"),
              "~ admin listener unix:/x\n    ~ access  read -> full\n");
    EXPECT_EQ(line_of_change(R"("op":"add","what":"upstream web discovery dns web.internal")"),
              "~ upstream web\n    + discovery dns web.internal\n");
    EXPECT_EQ(line_of_change(R"("op":"rename","what":"listener web","key":"name","from":"a")"),
              "~ listener web\n    ! name a -> none\n")
        << "a kind that this client does not know";
    EXPECT_EQ(line_of_change(R"("what":7)"), "! 7\n");
    const auto twice = plan_view(json::parse(R"({"changes":[
{"op":"remove","what":"listener web","from":"1.1.1.1:1"},
{"op":"add","what":"listener web","to":"1.1.1.1:2"}]})"),
                                 plain);
    EXPECT_TRUE(twice.starts_with("- listener web 1.1.1.1:1\n+ listener web 1.1.1.1:2\n")) << twice;
}

TEST(PlanView, is_never_cut_off_and_coloured_only_on_demand) {
    EXPECT_EQ(plan_view(example(), {.width = 20}), plan_view(example(), plain));
    const auto coloured = plan_view(example(), {.width = 0, .colour = true});
    EXPECT_TRUE(coloured.contains("\x1b[32m    + backend d 10.0.0.4:8080\x1b[0m")) << coloured;
    EXPECT_FALSE(plan_view(example(), plain).contains('\x1b'));
    EXPECT_TRUE(line_of_change(R"("op":"add","what":"listener \u001b[2J")").contains("\\x1b[2J"));
}

TEST(UpgradeView, names_both_processes) {
    const auto view = [](const char* answer) { return upgrade_view(json::parse(answer), plain); };
    EXPECT_EQ(view(R"({"pid":4711,"version":"1.0.0","old_pid":4600,"sessions":12})"),
              "upgraded: process 4711 (1.0.0) serves; process 4600 goes on with 12 sessions\n");
    EXPECT_EQ(view(R"({"pid":14711,"version":"1.0.0","old_pid":14600,"sessions":1})"),
              "upgraded: process 14711 (1.0.0) serves; process 14600 goes on with 1 session\n");
    EXPECT_EQ(view(R"({"pid":4711,"version":"1.0.0","old_pid":4600,"sessions":0})"),
              "upgraded: process 4711 (1.0.0) serves; process 4600 had no sessions left\n");
    EXPECT_EQ(view(R"({"pid":4711,"version":"1.0.0","sessions":3})"),
              "upgraded: process 4711 (1.0.0) serves; the old process goes on with 3 sessions\n");
}

}  // namespace
}  // namespace penstock::app::client
