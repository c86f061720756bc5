#include "config/secret_file.hpp"

#include <filesystem>
#include <fstream>
#include <future>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/support/temp_dir.hpp"

namespace penstock::config {
namespace {

class SecretFile : public testing::Test {
protected:
    std::string file(const std::string& text, mode_t mode = 0600) {
        const std::string path = directory.write("secret", text);
        ::chmod(path.c_str(), mode);
        return path;
    }
    std::string fifo(mode_t mode) {
        const std::string path = directory.path("fifo");
        EXPECT_EQ(::mkfifo(path.c_str(), 0600), 0);
        ::chmod(path.c_str(), mode);
        return path;
    }
    static std::string refusal(const std::expected<Secret, std::string>& secret) {
        return secret ? "" : secret.error();
    }

    test::TempDir directory;
};

TEST_F(SecretFile, says_who_may_read_it) {
    const auto secret = read_secret(file("a\nb\n"));
    ASSERT_TRUE(secret) << secret.error();
    EXPECT_EQ(secret->text, "a\nb\n");
    EXPECT_FALSE(secret->exposed);
    for (const mode_t mode : {0604U, 0644U}) EXPECT_TRUE(read_secret(file("a", mode))->exposed);
}

TEST_F(SecretFile, may_not_be_what_every_user_writes_nor_what_is_no_file) {
    EXPECT_EQ(refusal(read_secret(file("a", 0602))),
              "can be written by every user of this machine; take that away: chmod o-w");
    EXPECT_EQ(refusal(read_secret(directory.path("none"))), "there is no such file");
    EXPECT_EQ(refusal(read_secret(directory.path().string(), Fifo::allowed)),
              "is a directory, not a file");
    EXPECT_EQ(refusal(read_secret(fifo(0600))), "is a FIFO, not a file");
}

TEST_F(SecretFile, may_be_a_fifo_where_it_is_read_once) {
    const std::string path = fifo(0622);
    auto reading = std::async(std::launch::async, [&] { return read_secret(path, Fifo::allowed); });
    std::ofstream(path) << "one\ntwo\n" << std::flush;
    const auto secret = reading.get();
    ASSERT_TRUE(secret) << secret.error();
    EXPECT_EQ(secret->text, "one\ntwo\n");
    EXPECT_FALSE(secret->exposed);
}

TEST_F(SecretFile, leaves_nothing_behind_where_it_was) {
    const std::string text(100, 's');
    auto secret = read_secret(file(text));
    ASSERT_TRUE(secret) << secret.error();
    const char* bytes = secret->text.data();
    const Secret moved = *std::move(secret);
    EXPECT_EQ(moved.text.data(), bytes) << "copied, and the first copy is somewhere";
}

TEST_F(SecretFile, the_first_line_is_the_password) {
    for (const auto* text : {"pass word", "pass word\n", "pass word\r\n", "pass word\nnotes\n"}) {
        const auto password = read_password(file(text));
        ASSERT_TRUE(password) << password.error();
        EXPECT_EQ(password->text, "pass word");
    }
    for (const auto* text : {"", "\n", "\r\n", "\npassword\n"})
        EXPECT_EQ(refusal(read_password(file(text))), "its first line is empty");
    EXPECT_TRUE(read_password(file("secret\n", 0644))->exposed);
}

TEST_F(SecretFile, root_may_hand_it_to_a_group) {
    const auto exposed = [](uid_t owner, gid_t group, mode_t mode) {
        struct stat info{};
        info.st_uid = owner;
        info.st_gid = group;
        info.st_mode = S_IFREG | mode;
        return is_exposed(info);
    };
    EXPECT_FALSE(exposed(0, 65532, 0440)) << "fsGroup of Kubernetes";
    EXPECT_FALSE(exposed(0, 65532, 0640));
    EXPECT_TRUE(exposed(0, 65532, 0444));
    EXPECT_TRUE(exposed(0, 0, 0640)) << "everybody in root's group";
    EXPECT_TRUE(exposed(1000, 100, 0640)) << "a user's own group is whoever is in it";
    EXPECT_FALSE(exposed(1000, 100, 0600));
}

}  // namespace
}  // namespace penstock::config
