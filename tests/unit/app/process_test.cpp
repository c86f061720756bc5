#include "app/process.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "tests/unit/app/refuse_call.hpp"

namespace penstock::app {
namespace {

// Kernels before 5.9, and the filters of some containers, do not have the call.
class CloseFrom : public testing::TestWithParam<bool> {};

TEST_P(CloseFrom, closes_the_higher_ones_and_no_other) {
    const pid_t pid = ::fork();
    if (pid == 0) {
        constexpr int first = 50;
        constexpr int high = 300;
        for (const int fd : {first - 1, first, high})
            if (::dup2(STDERR_FILENO, fd) != fd) ::_exit(1);
        if (GetParam() && !test::refuse_call(SYS_close_range, ENOSYS)) ::_exit(2);
        close_from(first);
        const auto is_open = [](int fd) { return ::fcntl(fd, F_GETFD) >= 0; };
        ::_exit(is_open(first - 1) && !is_open(first) && !is_open(high) ? 0 : 3);
    }
    int status = -1;
    ::waitpid(pid, &status, 0);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0);
}

INSTANTIATE_TEST_SUITE_P(, CloseFrom, testing::Values(false, true),
                         [](const auto& param) -> std::string {
                             return param.param ? "without_close_range" : "with_close_range";
                         });

}  // namespace
}  // namespace penstock::app
