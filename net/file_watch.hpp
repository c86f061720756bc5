#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>

#include "base/clock.hpp"
#include "base/log.hpp"
#include "net/file_chain.hpp"

namespace penstock::net {

/// Tells when the contents of files, or the files that match a pattern, change, by whatever means:
/// written in place, renamed over, a symbolic link anywhere on the way swapped, removed, back
/// again. Watches with inotify(7) every entry that the look-up of a path passes; an event there is
/// followed by a pause, after which the contents are compared by their hash. Where the kernel
/// refuses a watch, the files are looked at every ten seconds instead. One thread: that of the
/// io_context.
class FileWatch {
public:
    using Handler = std::function<void()>;
    static constexpr std::chrono::milliseconds debounce{200};
    static constexpr std::chrono::seconds longest_debounce{2};  // events that never pause
    static constexpr std::chrono::seconds poll_interval{10};

    FileWatch(boost::asio::io_context& context, Logger& log);
    FileWatch(const FileWatch&) = delete;
    FileWatch& operator=(const FileWatch&) = delete;

    /// Calls `on_change` after each change of the contents from now on, disappearance included. An
    /// absolute path; it need not exist.
    void add(const std::string& path, Handler on_change);
    /// The same for the paths that match an absolute pattern (glob(7)): some come or go. What the
    /// files contain is another matter.
    void add_pattern(const std::string& pattern, Handler on_change);
    /// Keeps what it knows of these files and patterns, and forgets all others. Not from within a
    /// handler.
    void keep_only(const std::set<std::string>& paths);
    [[nodiscard]] bool watches(const std::string& path) const;
    /// Forgets all files. Not from within a handler.
    void clear();
    /// Ends all waiting, so that the io_context may run out of work. Its handlers may still be
    /// queued: the object must live until the io_context has stopped.
    void stop();

private:
    using Timer =
        boost::asio::basic_waitable_timer<std::chrono::steady_clock,
                                          boost::asio::wait_traits<std::chrono::steady_clock>,
                                          boost::asio::io_context::executor_type>;

    struct File {
        std::string path;
        bool is_pattern;
        Handler on_change;
        std::optional<std::uint64_t> hash{};  // nothing: there is none, or it cannot be read
        FileChain chain{};
        bool suspect = false;  // an event was about it, and nobody has looked yet
    };
    [[nodiscard]] static std::optional<std::uint64_t> hash_of(const File& file);

    void open();
    void follow(File file);
    void read_events();
    void on_events(std::size_t bytes);
    // Each marks the files that an event is about. True: there are some.
    bool suspect_entry(int watch, const std::string& name);  // of a directory
    bool suspect_watched(int watch);  // what the watch itself is of has changed, or is gone
    template <typename Concerned>
    bool suspect(Concerned concerned);
    void schedule_check();
    /// Looks at the suspects alone: there may be thousands of files.
    void check();
    /// Watches the file and the directories of its chain as they are now. True: it is another one.
    bool arm(File& file);
    /// Watches nothing but the files and the directories of all chains.
    void drop_unneeded();
    [[nodiscard]] static bool is_file(const File& file);
    void watch_entry(const std::string& path, std::uint32_t events);
    void poll();

    Logger& log_;
    boost::asio::posix::basic_stream_descriptor<boost::asio::io_context::executor_type> inotify_;
    Timer debounce_;
    Timer poll_;
    std::vector<File> files_;
    std::map<std::string, int> watches_;  // path -> inotify's number
    TimePoint first_event_{};
    bool waiting_ = false;
    bool polling_ = false;
    bool stopped_ = false;
    alignas(8) char buffer_[4096];
};

}  // namespace penstock::net
