// What the sandbox costs a system call: each measured before it closes and after. getppid() does
// nothing else; read() of one byte is one of those that relay; socket() has its argument checked.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>

#include "app/sandbox/sandbox.hpp"

namespace {

using penstock::app::sandbox::Sandbox;

void free_call(benchmark::State& state) {
    for (auto _ : state) benchmark::DoNotOptimize(::syscall(SYS_getppid));
}
BENCHMARK(free_call);

void read_a_byte(benchmark::State& state) {
    const int fd = ::open("/dev/zero", O_RDONLY | O_CLOEXEC);
    char byte = 0;
    for (auto _ : state) benchmark::DoNotOptimize(::read(fd, &byte, 1));
    ::close(fd);
}
BENCHMARK(read_a_byte);

void checked_call(benchmark::State& state) {
    for (auto _ : state) ::close(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}
BENCHMARK(checked_call);

// The library's own reporter does not survive a second run.
void run_all() {
    benchmark::ConsoleReporter reporter;
    benchmark::RunSpecifiedBenchmarks(&reporter);
}

}  // namespace

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    std::puts("without a sandbox");
    std::fflush(stdout);
    run_all();
    const auto sandbox = Sandbox::enter(penstock::config::Config{}, {}, {});
    if (!sandbox) {
        std::fprintf(stderr, "%s\n", sandbox.error().c_str());
        return 1;
    }
    std::printf("\nsandbox: %s\n", sandbox->summary().c_str());
    std::fflush(stdout);
    run_all();
    return 0;
}
