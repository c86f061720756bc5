#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include <pthread.h>

namespace penstock::app {

/// Where a thread stands, told by that thread in a signal handler: also by one that will never come
/// back to its loop. One thread asks. The first is made before the process denies itself anything.
class StackProbe {
public:
    StackProbe();
    ~StackProbe();
    StackProbe(const StackProbe&) = delete;
    StackProbe& operator=(const StackProbe&) = delete;

    /// False: it cannot be asked, or still owes an answer. The thread must not have been joined.
    bool ask(pthread_t thread) noexcept;
    /// Its answer, once: `libc.so.6+0x1087f6 penstock+0x2f3a10 ...`, the innermost call first, as
    /// addr2line takes them. The first two are of the question itself.
    [[nodiscard]] std::optional<std::string> take();

private:
    struct Answer;
    std::unique_ptr<Answer> answer_;
};

}  // namespace penstock::app
