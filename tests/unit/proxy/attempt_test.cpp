#include "proxy/attempt.hpp"

#include <cerrno>

#include <gtest/gtest.h>

namespace penstock::proxy {
namespace {

using balancer::Failure;

TEST(AttemptResult, what_this_machine_lacks_is_not_the_backends_fault) {
    for (const int error : {ENOMEM, ENOBUFS, ENOSPC}) {
        EXPECT_TRUE(attempt_result(error).is_ours) << error;
        EXPECT_EQ(attempt_result(error).error, AttemptError::other) << error;
    }
    for (const int error : {ECONNREFUSED, ETIMEDOUT, ECONNRESET, EHOSTUNREACH, EPROTO})
        EXPECT_FALSE(attempt_result(error).is_ours) << error;
    EXPECT_TRUE(attempt_result(0).ok());
    for (const int error : {EMFILE, ENFILE, EADDRNOTAVAIL})
        EXPECT_EQ(failure_of(attempt_result(error).error, true), std::nullopt) << error;
}

TEST(AttemptResult, an_early_reset_counts_if_the_operator_wants_it) {
    EXPECT_EQ(failure_of(AttemptError::reset, true), Failure::early_reset);
    EXPECT_EQ(failure_of(AttemptError::reset, false), std::nullopt);
    for (const bool early_reset_counts : {true, false}) {
        EXPECT_EQ(failure_of(AttemptError::refused, early_reset_counts), Failure::refused);
        EXPECT_EQ(failure_of(AttemptError::timeout, early_reset_counts), Failure::timeout);
        EXPECT_EQ(failure_of(AttemptError::tls, early_reset_counts), Failure::other);
    }
}

}  // namespace
}  // namespace penstock::proxy
