#include "app/control_loop.hpp"

#include <array>
#include <csignal>

namespace penstock::app {

namespace {

constexpr std::array handled_signals{SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};

}  // namespace

ControlLoop::ControlLoop() : signals(context) {
    for (const int signal : handled_signals) signals.add(signal);
}

// Asio gives back the default action, which is to die. All other threads have ended.
ControlLoop::~ControlLoop() {
    sigset_t last;
    sigemptyset(&last);
    for (const int signal : handled_signals) sigaddset(&last, signal);
    ::pthread_sigmask(SIG_BLOCK, &last, nullptr);
    signals.clear();
    for (const int signal : handled_signals) std::signal(signal, SIG_IGN);
}

}  // namespace penstock::app
