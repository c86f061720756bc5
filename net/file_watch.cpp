#include "net/file_watch.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>
#include <utility>

#include <boost/asio/buffer.hpp>

#include <sys/inotify.h>

#include "base/error.hpp"

namespace penstock::net {

namespace {

// Of a directory only the names: others may write into its files all the time. A file that may not
// be read cannot be watched, but its directory tells when that changes.
constexpr std::uint32_t of_directory = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO |
                                       IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
constexpr std::uint32_t of_file = IN_MODIFY | IN_CLOSE_WRITE;
constexpr int most_rounds = 8;

}  // namespace

FileWatch::FileWatch(boost::asio::io_context& context, Logger& log)
    : log_(log), inotify_(context), debounce_(context), poll_(context) {}

// The first file opens it.
void FileWatch::open() {
    const int fd = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd < 0) {
        log_.warn("cannot watch files: {}; looking at them every {} s", errno_name(errno),
                  poll_interval.count());
        poll();
        return;
    }
    inotify_.assign(fd);
    read_events();
}

void FileWatch::add(const std::string& path, Handler on_change) {
    follow({path, false, std::move(on_change)});
}

void FileWatch::add_pattern(const std::string& pattern, Handler on_change) {
    follow({pattern, true, std::move(on_change)});
}

void FileWatch::follow(File file) {
    if (!inotify_.is_open() && !polling_) open();
    files_.push_back(std::move(file));
    arm(files_.back());
    files_.back().hash = hash_of(files_.back());
}

std::optional<std::uint64_t> FileWatch::hash_of(const File& file) {
    return file.is_pattern ? hash_of_matches(file.path) : hash_of_contents(file.path);
}

void FileWatch::keep_only(const std::set<std::string>& paths) {
    std::erase_if(files_, [&](const File& file) { return !paths.contains(file.path); });
    if (inotify_.is_open()) drop_unneeded();
}

bool FileWatch::watches(const std::string& path) const {
    return std::ranges::find(files_, path, &File::path) != files_.end();
}

void FileWatch::clear() {
    files_.clear();
    if (inotify_.is_open()) drop_unneeded();
}

void FileWatch::stop() {
    stopped_ = true;
    debounce_.cancel();
    poll_.cancel();
    boost::system::error_code ignored;
    inotify_.close(ignored);  // NOLINT(bugprone-unused-return-value): the same as `ignored`
}

void FileWatch::read_events() {
    inotify_.async_read_some(boost::asio::buffer(buffer_),
                             [this](const boost::system::error_code& error, std::size_t bytes) {
                                 if (error || stopped_) return;
                                 on_events(bytes);
                                 read_events();
                             });
}

void FileWatch::on_events(std::size_t bytes) {
    bool any = false;
    for (std::size_t at = 0; at < bytes;) {
        inotify_event event;
        std::memcpy(&event, buffer_ + at, sizeof event);
        const char* name = buffer_ + at + sizeof event;
        at += sizeof event + event.len;
        if ((event.mask & IN_Q_OVERFLOW) != 0)
            any |= suspect([](const File&) { return true; });
        else if ((event.mask & (IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF | of_file)) != 0)
            any |= suspect_watched(event.wd);
        else if (event.len > 0)
            any |= suspect_entry(event.wd, name);
        // The kernel has forgotten what is gone; its number may be given out again.
        if ((event.mask & IN_IGNORED) != 0)
            std::erase_if(watches_,
                          [gone = event.wd](const auto& watch) { return watch.second == gone; });
    }
    if (any) schedule_check();
}

template <typename Concerned>
bool FileWatch::suspect(Concerned concerned) {
    bool any = false;
    for (File& file : files_) {
        if (!file.suspect && !concerned(file)) continue;
        file.suspect = true;
        any = true;
    }
    return any;
}

// Two names of one directory, or of one file, have one number.
bool FileWatch::suspect_entry(int watch, const std::string& name) {
    bool any = false;
    for (const auto& [path, number] : watches_) {
        if (number != watch) continue;
        const std::pair entry{path, name};
        const std::pair every_entry{path, std::string("*")};
        any |= suspect([&](const File& file) {
            return file.chain.contains(entry) || file.chain.contains(every_entry);
        });
    }
    return any;
}

bool FileWatch::suspect_watched(int watch) {
    bool any = false;
    for (const auto& known : watches_) {
        if (known.second != watch) continue;
        const std::string& path = known.first;
        any |= suspect([&](const File& file) {
            const auto below = file.chain.lower_bound({path, ""});
            return file.path == path || (below != file.chain.end() && below->first == path);
        });
    }
    return any;
}

void FileWatch::schedule_check() {
    const TimePoint now = SteadyClock().now();
    if (!std::exchange(waiting_, true)) first_event_ = now;
    debounce_.expires_after(std::min<Duration>(debounce, first_event_ + longest_debounce - now));
    debounce_.async_wait([this](const boost::system::error_code& error) {
        if (error || stopped_) return;
        waiting_ = false;
        check();
    });
}

// Watched first, compared second: what changes in between is an event.
void FileWatch::check() {
    std::vector<std::size_t> suspects;
    bool moved = false;
    for (std::size_t i = 0; i < files_.size(); ++i) {
        if (!std::exchange(files_[i].suspect, false)) continue;
        suspects.push_back(i);
        moved |= arm(files_[i]);
    }
    if (moved) drop_unneeded();
    for (const std::size_t i : suspects) {
        const auto hash = hash_of(files_[i]);
        if (hash == files_[i].hash) continue;
        files_[i].hash = hash;
        const Handler handler = files_[i].on_change;  // which may add files
        handler();
    }
}

// Until nothing on the way has changed while the watches were set.
bool FileWatch::arm(File& file) {
    bool moved = false;
    for (int round = 0; round < most_rounds; ++round) {
        auto chain = file.is_pattern ? resolve_pattern_chain(file.path) : resolve_chain(file.path);
        const bool changed = chain != file.chain;
        file.chain = std::move(chain);
        for (const auto& [directory, name] : file.chain) watch_entry(directory, of_directory);
        if (is_file(file)) watch_entry(file.path, of_file);
        if (!changed) break;
        moved = true;
    }
    return moved;
}

void FileWatch::drop_unneeded() {
    std::set<std::string_view> needed;
    for (const auto& file : files_) {
        for (const auto& [directory, name] : file.chain) needed.insert(directory);
        if (!file.is_pattern) needed.insert(file.path);
    }
    for (auto watch = watches_.begin(); watch != watches_.end();) {
        if (needed.contains(watch->first)) {
            ++watch;
            continue;
        }
        ::inotify_rm_watch(inotify_.native_handle(), watch->second);
        watch = watches_.erase(watch);
    }
}

bool FileWatch::is_file(const File& file) {
    std::error_code error;
    return !file.is_pattern && std::filesystem::is_regular_file(file.path, error);
}

// What was replaced by another one of its name has another number.
void FileWatch::watch_entry(const std::string& path, std::uint32_t events) {
    if (!inotify_.is_open()) return;
    const int watch = ::inotify_add_watch(inotify_.native_handle(), path.c_str(), events);
    if (watch >= 0) {
        const auto [known, fresh] = watches_.try_emplace(path, watch);
        const int before = std::exchange(known->second, watch);
        if (!fresh && before != watch) ::inotify_rm_watch(inotify_.native_handle(), before);
        return;
    }
    if (errno == ENOENT || errno == ENOTDIR) return;  // gone meanwhile: the next round sees it
    if (errno == EACCES && events == of_file) return;
    if (polling_) return;
    log_.warn("cannot watch {}: {}; looking at the files every {} s", path, errno_name(errno),
              poll_interval.count());
    poll();
}

void FileWatch::poll() {
    polling_ = true;
    poll_.expires_after(poll_interval);
    poll_.async_wait([this](const boost::system::error_code& error) {
        if (error || stopped_) return;
        static_cast<void>(suspect([](const File&) { return true; }));
        check();
        poll();
    });
}

}  // namespace penstock::net
