// A relay with a thread per connection: accept, start a thread, let it block in poll(2).
//
//   penstock_baseline_threads LISTEN_PORT BACKEND_PORT
#include <pthread.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdio>
#include <memory>

#include "tests/bench/baseline.hpp"

using namespace penstock::bench;

namespace {

struct Work {
    UniqueFd client;
    std::uint16_t backend_port;
};

void* serve(void* argument) {
    const std::unique_ptr<Work> work(static_cast<Work*>(argument));
    UniqueFd backend = baseline_connect(work->backend_port);
    if (backend) relay_until_closed(std::move(work->client), std::move(backend));
    return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
    const BaselinePorts ports = parse_baseline_ports(argc, argv);
    const UniqueFd listener = baseline_listener(ports.listen);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    // The default of 8 MiB is only reserved, but 9,000 of them would fill the address space's
    // limits.
    pthread_attr_setstacksize(&attributes, 64 * 1024);
    for (;;) {
        UniqueFd client(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (!client) {
            if (errno == EINTR || errno == ECONNABORTED) continue;
            return std::perror("accept"), 1;
        }
        auto work = std::make_unique<Work>(std::move(client), ports.backend);
        pthread_t thread;
        // On failure the connection is closed, as this model has nowhere else to put it.
        if (pthread_create(&thread, &attributes, serve, work.get()) == 0) (void)work.release();
    }
}
