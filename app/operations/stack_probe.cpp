#include "app/operations/stack_probe.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <dlfcn.h>
#include <execinfo.h>
#include <fmt/format.h>
#include <unistd.h>

#include "app/own_signals.hpp"

namespace penstock::app {

// What the handler works on; the signal carries its address.
struct StackProbe::Answer {
    enum State : int { none, asked, given };
    std::atomic<int> state{none};
    std::array<void*, 48> frames{};
    int count = 0;

    static void handle(int signal, siginfo_t* info, void* context) noexcept;
};

// The unwinder finds its tables without locks (glibc 2.35, GCC 12), and allocates nothing once it
// has been used.
void StackProbe::Answer::handle(int, siginfo_t* info, void*) noexcept {
    // Others can send the same signal, with whatever address.
    if (info->si_code != SI_QUEUE || info->si_pid != ::getpid()) return;
    const int before = errno;
    auto& answer = *static_cast<Answer*>(info->si_value.sival_ptr);
    answer.count = ::backtrace(answer.frames.data(), static_cast<int>(answer.frames.size()));
    answer.state.store(given, std::memory_order_release);
    errno = before;
}

StackProbe::StackProbe() : answer_(std::make_unique<Answer>()) {
    static const bool ready = [] {
        // The first use loads and allocates.
        std::array<void*, 4> frames{};
        ::backtrace(frames.data(), static_cast<int>(frames.size()));
        struct sigaction action{};
        action.sa_sigaction = Answer::handle;
        action.sa_flags = SA_SIGINFO | SA_RESTART;
        sigfillset(&action.sa_mask);
        return ::sigaction(stack_probe_signal(), &action, nullptr) == 0;
    }();
    static_cast<void>(ready);
}

StackProbe::~StackProbe() {
    if (answer_->state.load() != Answer::asked) return;
    // The thread may still be on its way into the handler, or stop there one day.
    static auto& kept = *new std::vector<std::unique_ptr<Answer>>;
    kept.push_back(std::move(answer_));
}

bool StackProbe::ask(pthread_t thread) noexcept {
    if (answer_->state.load() == Answer::asked) return false;
    answer_->state.store(Answer::asked);
    sigval value{};
    value.sival_ptr = answer_.get();
    if (::pthread_sigqueue(thread, stack_probe_signal(), value) == 0) return true;
    answer_->state.store(Answer::none);
    return false;
}

std::optional<std::string> StackProbe::take() {
    if (answer_->state.load(std::memory_order_acquire) != Answer::given) return std::nullopt;
    std::string text;
    for (void* const frame :
         std::span(answer_->frames).first(static_cast<std::size_t>(answer_->count))) {
        if (!text.empty()) text += ' ';
        Dl_info module{};
        const auto address = reinterpret_cast<std::uintptr_t>(frame);
        if (::dladdr(frame, &module) == 0 || module.dli_fname == nullptr) {
            text += fmt::format("{:#x}", address);
            continue;
        }
        const std::string_view path = module.dli_fname;
        text += fmt::format("{}+{:#x}", path.substr(path.rfind('/') + 1),
                            address - reinterpret_cast<std::uintptr_t>(module.dli_fbase));
    }
    answer_->state.store(Answer::none);
    return text;
}

}  // namespace penstock::app
