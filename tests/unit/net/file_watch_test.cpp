#include "net/file_watch.hpp"

#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include <sys/inotify.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {
std::size_t watches_asked_for = 0;
}

// In place of the library's: counts what the kernel is asked for.
extern "C" int inotify_add_watch(int fd, const char* path, std::uint32_t mask) noexcept {
    ++watches_asked_for;
    return static_cast<int>(::syscall(SYS_inotify_add_watch, fd, path, mask));
}

namespace penstock::net {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

class SilentLog final : public Logger {
public:
    bool enabled(LogLevel) const noexcept override { return false; }
    void write(LogLevel, std::string_view) override {}
};

class FileWatchTest : public testing::Test {
protected:
    FileWatchTest() {
        std::string name = (fs::temp_directory_path() / "file_watch_XXXXXX").string();
        directory = ::mkdtemp(name.data());
    }
    ~FileWatchTest() override {
        watch.stop();
        context.restart();
        context.run();
        fs::remove_all(directory);
    }

    void write(const fs::path& path, const std::string& text) const { std::ofstream(path) << text; }
    void watch_path(const fs::path& path) {
        watch.add(path.string(), [this] { ++changes; });
    }
    /// Runs the loop until there is one more change; false after a generous while without.
    bool sees_change() {
        const int before = changes;
        const auto end = std::chrono::steady_clock::now() + 20s;
        while (changes == before && std::chrono::steady_clock::now() < end) {
            context.restart();
            context.run_one_for(1s);
        }
        return changes > before;
    }

    SilentLog log;
    boost::asio::io_context context;
    FileWatch watch{context, log};
    fs::path directory;
    int changes = 0;
};

TEST_F(FileWatchTest, written_in_place) {
    const auto file = directory / "list";
    write(file, "a");
    watch_path(file);
    write(file, "b");
    EXPECT_TRUE(sees_change());
    std::ofstream(file, std::ios::app) << "c";
    EXPECT_TRUE(sees_change());
}

TEST_F(FileWatchTest, what_was_forgotten_is_not_told_and_may_be_added_again) {
    const auto file = directory / "list";
    const auto other = directory / "other";
    write(file, "a");
    watch.add(file.string(), [this] { changes += 100; });
    write(file, "b");
    watch.clear();  // before anybody has looked
    watch_path(other);
    write(file, "c");
    write(other, "a");
    EXPECT_TRUE(sees_change());
    EXPECT_EQ(changes, 1) << "of the other one alone";
    watch_path(file);
    write(file, "d");
    EXPECT_TRUE(sees_change());
    EXPECT_EQ(changes, 2);
    watch.clear();
    watch.clear();
}

TEST_F(FileWatchTest, renamed_over) {
    const auto file = directory / "list";
    write(file, "a");
    watch_path(file);
    for (const char* text : {"b", "c"}) {
        write(directory / "new", text);
        fs::rename(directory / "new", file);
        EXPECT_TRUE(sees_change()) << text;
    }
}

TEST_F(FileWatchTest, truncated_removed_and_back) {
    const auto file = directory / "list";
    write(file, "a");
    watch_path(file);
    fs::resize_file(file, 0);
    EXPECT_TRUE(sees_change());
    fs::remove(file);
    EXPECT_TRUE(sees_change());
    write(file, "a");
    EXPECT_TRUE(sees_change());
}

// As a volume of Kubernetes: list -> ..data/list, ..data -> a directory; a new directory is made,
// and ..data is replaced by one rename. The name `list` is never touched.
TEST_F(FileWatchTest, a_directory_behind_a_link_is_swapped) {
    fs::create_directory(directory / "1");
    write(directory / "1" / "list", "a");
    fs::create_symlink("1", directory / "..data");
    fs::create_symlink("..data/list", directory / "list");
    watch_path(directory / "list");
    for (int version = 2; version < 5; ++version) {
        const std::string name = std::to_string(version);
        fs::create_directory(directory / name);
        write(directory / name / "list", name);
        fs::create_symlink(name, directory / "..tmp");
        fs::rename(directory / "..tmp", directory / "..data");
        fs::remove_all(directory / std::to_string(version - 1));
        EXPECT_TRUE(sees_change()) << version;
    }
    // Behind the new link the file is watched as well.
    write(directory / "4" / "list", "written in place");
    EXPECT_TRUE(sees_change());
}

TEST_F(FileWatchTest, the_link_itself_points_elsewhere) {
    write(directory / "one", "a");
    write(directory / "two", "b");
    fs::create_symlink(directory / "one", directory / "list");
    watch_path(directory / "list");
    fs::create_symlink(directory / "two", directory / "tmp");
    fs::rename(directory / "tmp", directory / "list");
    EXPECT_TRUE(sees_change());
    write(directory / "two", "c");
    EXPECT_TRUE(sees_change());
}

TEST_F(FileWatchTest, directories_that_come_later_and_are_replaced) {
    const auto file = directory / "a" / "b" / "list";
    watch_path(file);
    fs::create_directories(directory / "a" / "b");
    write(file, "1");
    EXPECT_TRUE(sees_change());
    fs::rename(directory / "a", directory / "old");
    EXPECT_TRUE(sees_change());
    fs::create_directories(directory / "new" / "b");
    write(directory / "new" / "b" / "list", "2");
    fs::rename(directory / "new", directory / "a");
    EXPECT_TRUE(sees_change());
    write(file, "3");
    EXPECT_TRUE(sees_change());
}

TEST_F(FileWatchTest, names_that_come_to_match_a_pattern_and_go) {
    const auto folder = directory / "conf.d";
    const auto pattern = (directory / "*.d" / "*.toml").string();
    watch.add_pattern(pattern, [this] { ++changes; });
    watch.add((directory / "end").string(), [this] { changes += 1000; });
    fs::create_directory(folder);
    write(folder / "a.toml", "1");
    EXPECT_TRUE(sees_change());
    EXPECT_EQ(changes, 1);
    write(folder / "a.toml", "2");  // the same name
    write(folder / "b.txt", "1");
    write(directory / "end", "1");
    EXPECT_TRUE(sees_change());
    EXPECT_EQ(changes, 1001);
    fs::rename(folder / "b.txt", folder / "b.toml");
    EXPECT_TRUE(sees_change());
    EXPECT_EQ(changes, 1002);
    fs::remove(folder / "a.toml");
    EXPECT_TRUE(sees_change());
    EXPECT_EQ(changes, 1003);
}

TEST_F(FileWatchTest, who_stays_keeps_what_was_known_of_it) {
    const auto file = directory / "list";
    const auto other = directory / "other";
    write(file, "a");
    watch_path(file);
    watch.add(other.string(), [this] { changes += 1000; });
    write(file, "b");
    write(other, "b");
    watch.keep_only({file.string()});  // before anybody has looked
    EXPECT_TRUE(watch.watches(file.string()));
    EXPECT_FALSE(watch.watches(other.string()));
    EXPECT_TRUE(sees_change());
    EXPECT_EQ(changes, 1);
}

TEST_F(FileWatchTest, what_changes_no_contents_is_no_change) {
    const auto file = directory / "list";
    const auto other = directory / "other";
    write(file, "a");
    write(other, "a");
    watch_path(file);
    watch.add(other.string(), [this] { changes += 1000; });
    write(file, "a");  // the same again
    fs::permissions(file, fs::perms::owner_read);
    write(directory / "neighbour", "b");
    write(other, "b");
    EXPECT_TRUE(sees_change());
    EXPECT_EQ(changes, 1000);
}

// A change of one costs what one costs, and so does each that is added.
TEST_F(FileWatchTest, of_many_files_only_those_concerned_are_looked_at) {
    constexpr int count = 200;
    const auto path_of = [this](int i) { return directory / std::to_string(i) / "list"; };
    std::set<std::string> all;
    for (int i = 0; i < count; ++i) {
        fs::create_directory(path_of(i).parent_path());
        write(path_of(i), "a");
        all.insert(path_of(i).string());
    }
    const std::size_t of_one = resolve_chain(path_of(0).string()).size() + 1;
    std::size_t before = watches_asked_for;
    for (int i = 0; i < count; ++i) watch_path(path_of(i));
    EXPECT_GE(watches_asked_for - before, count * of_one);
    EXPECT_LE(watches_asked_for - before, count * of_one * 2);
    before = watches_asked_for;
    write(path_of(7), "b");
    EXPECT_TRUE(sees_change());
    write(directory / "new", "c");
    fs::rename(directory / "new", path_of(7));
    EXPECT_TRUE(sees_change());
    EXPECT_LE(watches_asked_for - before, 20 * of_one);
    before = watches_asked_for;
    watch.keep_only(all);
    EXPECT_EQ(watches_asked_for, before);
    fs::remove(path_of(9));
    EXPECT_TRUE(sees_change());
    fs::rename(directory / "8", directory / "gone");
    EXPECT_TRUE(sees_change());
    EXPECT_EQ(changes, 4);
}

TEST(FileChain, follows_links_and_ends_at_what_is_missing) {
    std::string name = (fs::temp_directory_path() / "file_chain_XXXXXX").string();
    const fs::path directory = fs::canonical(::mkdtemp(name.data()));
    fs::create_directory(directory / "real");
    fs::create_symlink("real", directory / "link");
    fs::create_symlink("../loop", directory / "real" / "loop");
    fs::create_symlink("link/loop", directory / "loop");
    const auto has = [&](const FileChain& chain, const fs::path& in, const char* entry) {
        return chain.contains({in.string(), entry});
    };
    const auto chain = resolve_chain((directory / "link" / "missing" / "list").string());
    EXPECT_TRUE(has(chain, directory, "link"));
    EXPECT_TRUE(has(chain, directory, "real"));
    EXPECT_TRUE(has(chain, directory / "real", "missing"));
    EXPECT_FALSE(has(chain, directory / "real" / "missing", "list"));
    EXPECT_TRUE(has(resolve_chain((directory / "loop").string()), directory, "loop"));
    EXPECT_EQ(hash_of_contents((directory / "loop").string()), std::nullopt);
    EXPECT_EQ(hash_of_contents(directory.string()), std::nullopt);
    fs::remove_all(directory);
}

}  // namespace
}  // namespace penstock::net
