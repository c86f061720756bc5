#include "base/close_reason.hpp"

#include <set>
#include <string>

#include <gtest/gtest.h>

namespace penstock {
namespace {

TEST(CloseReason, names_are_unique_and_classes_follow_the_contract) {
    std::set<std::string_view> names;
    for (std::size_t i = 0; i < close_reason_count; ++i)
        EXPECT_TRUE(names.insert(name_of(static_cast<CloseReason>(i))).second);
    EXPECT_EQ(name_of(class_of(CloseReason::completed)), "ok");
    EXPECT_EQ(name_of(class_of(CloseReason::client_gone)), "client");
    EXPECT_EQ(name_of(class_of(CloseReason::no_backend)), "backend");
    EXPECT_EQ(name_of(class_of(CloseReason::half_closed_timeout)), "policy");
    EXPECT_EQ(name_of(class_of(CloseReason::limit_listener)), "policy");
    EXPECT_EQ(name_of(class_of(CloseReason::limit_process)), "proxy");
    EXPECT_EQ(name_of(class_of(CloseReason::drained)), "operator");
}

}  // namespace
}  // namespace penstock
