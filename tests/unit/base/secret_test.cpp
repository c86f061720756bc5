#include "base/secret.hpp"

#include <cerrno>
#include <fstream>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/support/temp_dir.hpp"

namespace penstock {
namespace {

std::string letters(std::size_t count) {
    std::string text;
    for (std::size_t i = 0; i < count; ++i) text += static_cast<char>('a' + i % 26);
    return text;
}

TEST(Secret, a_file_is_read_to_its_end_and_no_further_than_allowed) {
    const test::TempDir directory;
    for (const std::size_t size : {0U, 1U, 4096U, 100'000U}) {
        const std::string path = directory.write("file", letters(size));
        const auto read = [&path](std::size_t most) {
            const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
            auto text = read_to_end(fd, most);
            ::close(fd);
            return text;
        };
        EXPECT_EQ(read(size), letters(size)) << size;
        if (size > 0) {
            EXPECT_EQ(read(size - 1), std::unexpected(EFBIG)) << size;
        }
    }
    EXPECT_EQ(read_to_end(-1, 10), std::unexpected(EBADF));
}

TEST(Secret, a_pipe_may_have_more_than_was_expected) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const std::string said = letters(200'000);
    std::thread writer([&] {
        for (std::size_t at = 0; at < said.size();)
            at += static_cast<std::size_t>(::write(ends[1], said.data() + at, said.size() - at));
        ::close(ends[1]);
    });
    int waits = 0;
    const auto text = read_to_end(ends[0], said.size(), [&waits] { return ++waits > 0; });
    writer.join();
    EXPECT_EQ(text, said);
    EXPECT_GT(waits, 1);
    EXPECT_EQ(read_to_end(ends[0], 10, [] { return false; }), std::unexpected(ETIMEDOUT));
    ::close(ends[0]);
}

TEST(Secret, what_is_wiped_is_empty_and_its_bytes_are_gone) {
    std::string text = letters(100);
    const char* const bytes = text.data();
    wipe(text);
    EXPECT_TRUE(text.empty());
    EXPECT_EQ(std::string(bytes, 100), std::string(100, '\0'));  // it is its memory still
}

}  // namespace
}  // namespace penstock
