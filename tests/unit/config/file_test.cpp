#include <filesystem>
#include <fstream>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/source.hpp"
#include "support.hpp"

namespace penstock::config {
namespace {

using testing::no_environment;
using testing::TemporaryDirectory;
using testing::valid;

TEST(ConfigFile, IsReadAndListed) {
    const TemporaryDirectory directory;
    const auto path = directory.write("p.toml", valid({}, {}, "log.target = \"logs/../p.log\"\n"));
    const auto result = load_file(path, no_environment());
    EXPECT_TRUE(result.ok()) << format(result.diagnostics);
    EXPECT_EQ(result.files, (std::vector<std::string>{path}));
    EXPECT_EQ(result.config.log.target, directory.path("p.log")) << "starts at the file";
}

std::string failure(const std::string& path) {
    const auto result = load_file(path, no_environment());
    EXPECT_FALSE(result.ok());
    return format(result.diagnostics);
}

TEST(ConfigC1, WhatIsNoReadableFile) {
    const TemporaryDirectory directory;
    const auto missing = directory.path("missing.toml");
    EXPECT_TRUE(failure(missing).starts_with(missing +
                                             ": error: there is no such file; a first one "
                                             "needs a [[listener]]"));
    EXPECT_EQ(failure(directory.path("")),
              directory.path("") + ": error: is a directory, not a file\n");
    EXPECT_NE(failure("").find("error: the name of the file is empty"), std::string::npos);
    const auto loop = directory.path("loop");
    std::filesystem::create_symlink(loop, loop);
    EXPECT_NE(failure(loop).find("cannot be read"), std::string::npos);
    EXPECT_NE(failure("/dev/null").find("is not a regular file"), std::string::npos);
}

TEST(ConfigC1, FifoWithoutAWriterDoesNotBlock) {
    const TemporaryDirectory directory;
    const auto path = directory.path("fifo");
    ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
    EXPECT_EQ(failure(path), path + ": error: is a FIFO, not a file; '-' reads standard input\n");
}

// What may stand where the configuration was when a reload looks for it.
TEST(ConfigC8, WhatIsNoConfigurationIsAnErrorAtOnce) {
    const TemporaryDirectory directory;
    const auto empty = directory.write("empty.toml", "");
    EXPECT_TRUE(failure(empty).starts_with(empty + ":1:1: error: there is no [[listener]]"))
        << failure(empty);
    const auto half = directory.write("half.toml", valid().substr(0, 30));
    EXPECT_TRUE(failure(half).starts_with(half + ":3:5: error: not valid TOML")) << failure(half);
    const auto to_directory = directory.path("link");
    std::filesystem::create_symlink(directory.path(), to_directory);
    EXPECT_EQ(failure(to_directory), to_directory + ": error: is a directory, not a file\n");
    const auto dangling = directory.path("dangling");
    std::filesystem::create_symlink(directory.path("nowhere"), dangling);
    EXPECT_NE(failure(dangling).find("there is no such file"), std::string::npos);
    const auto fifo = directory.path("fifo");
    ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
    const auto to_fifo = directory.path("to-fifo");
    std::filesystem::create_symlink(fifo, to_fifo);
    EXPECT_NE(failure(to_fifo).find("is a FIFO, not a file"), std::string::npos);
    EXPECT_NE(failure("/dev/zero").find("is not a regular file"), std::string::npos);
    EXPECT_EQ(piped_descriptor(fifo), std::nullopt) << "nobody has opened that for this process";
}

class Pipe {
public:
    explicit Pipe(std::string_view text) {
        int ends[2];
        EXPECT_EQ(::pipe(ends), 0);
        read_end_ = ends[0];
        EXPECT_EQ(::write(ends[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
        ::close(ends[1]);
    }
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;
    ~Pipe() { ::close(read_end_); }
    [[nodiscard]] int get() const { return read_end_; }

private:
    int read_end_ = -1;
};

TEST(ConfigFile, PipeOfTheShellIsRead) {
    const Pipe good(valid({}, {}, "log.target = \"p.log\"\n"));
    const auto path = "/dev/fd/" + std::to_string(good.get());
    EXPECT_EQ(piped_descriptor(path), good.get());
    const auto result = load_stream(good.get(), path, no_environment());
    EXPECT_TRUE(result.ok()) << format(result.diagnostics);
    EXPECT_EQ(result.config.log.target, (std::filesystem::current_path() / "p.log").string());
    EXPECT_TRUE(result.files.empty()) << "nothing to watch";

    const Pipe wrong(valid() + "connect_timeot = 1\n");
    const auto refused = format(load_stream(wrong.get(), "-", no_environment()).diagnostics);
    EXPECT_TRUE(refused.starts_with("-:10:1: error: unknown key 'connect_timeot'")) << refused;
}

TEST(ConfigFile, WhatMeansNoPipe) {
    const TemporaryDirectory directory;
    const auto path = directory.write("p.toml", valid());
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    ASSERT_GE(fd, 0);
    const auto name = "/dev/fd/" + std::to_string(fd);
    EXPECT_EQ(piped_descriptor(name), std::nullopt) << "a file: read as one";
    EXPECT_TRUE(load_file(name, no_environment()).ok());
    ::close(fd);
    for (const auto* other : {"/dev/fd/", "/dev/fd/-1", "/dev/fd/3x", "/dev/fd/99999999999", "p"})
        EXPECT_EQ(piped_descriptor(other), std::nullopt) << other;
    EXPECT_EQ(piped_descriptor(name), std::nullopt) << "closed";
}

TEST(ConfigC1, StreamHasABoundToo) {
    const TemporaryDirectory directory;
    const auto path = directory.write("p.toml", "#" + std::string(max_source_size, 'x'));
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    ASSERT_GE(fd, 0);
    EXPECT_EQ(format(load_stream(fd, "-", no_environment()).diagnostics),
              "-: error: is larger than 16 MiB\n");
    ::close(fd);
}

TEST(ConfigC1, WorldWritableFileIsRefused) {
    const TemporaryDirectory directory;
    const auto path = directory.write("p.toml", valid());
    std::filesystem::permissions(path, std::filesystem::perms(0666));
    EXPECT_NE(failure(path).find("can be written by every user of this machine"),
              std::string::npos);
    std::filesystem::permissions(path, std::filesystem::perms(0664));
    EXPECT_TRUE(load_file(path, no_environment()).ok());
}

TEST(ConfigC1, UnreadableFile) {
    const TemporaryDirectory directory;
    const auto path = directory.write("p.toml", valid());
    std::filesystem::permissions(path, std::filesystem::perms::none);
    // Root reads everything, so a child without privileges looks; its status is the result.
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        if (::geteuid() == 0 && ::seteuid(65534) != 0) ::_exit(2);
        const auto text = read_source(path);
        ::_exit(!text && text.error().find("needs read permission") != std::string::npos ? 0 : 1);
    }
    // The directory of the test may be closed to others: then the message is about it, the same
    // one.
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST(ConfigC1, TooLargeFile) {
    const TemporaryDirectory directory;
    const auto path = directory.write("p.toml", "#" + std::string(max_source_size, 'x'));
    EXPECT_NE(failure(path).find("is larger than 16 MiB"), std::string::npos);
    const auto result =
        load_text("#" + std::string(max_source_size, 'x'), "-", "/", no_environment());
    EXPECT_NE(format(result.diagnostics).find("-: error: is larger than 16 MiB"),
              std::string::npos);
}

TEST(ConfigC1, LineOfOneMebibyte) {
    const auto text = valid("# " + std::string(1 << 20, 'x')) + "log.target = \"" +
                      std::string(1 << 20, 'y') + "\"\n";
    EXPECT_FALSE(testing::load(text).diagnostics.empty());  // log below [[upstream]]: misplaced
    EXPECT_TRUE(testing::load(valid("# " + std::string(1 << 20, 'x'))).diagnostics.empty());
}

}  // namespace
}  // namespace penstock::config
