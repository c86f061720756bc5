// The least that a relay of coroutines on an edge-triggered epoll can cost: the lower bound that
// the benchmark compares with. No timers, limits, metrics, logs or retries; errors end the session.
// It is a yardstick, kept as small and as fast as possible, and no model for the program itself.
//
//   penstock_bare_relay LISTEN_PORT BACKEND_PORT [BACKEND_PORT ...]
#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <coroutine>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>
#include <vector>

constexpr std::size_t scratch_size = 64 * 1024;
constexpr int pipe_size = 256 * 1024;
char scratch[scratch_size];  // one per worker: an idle connection owns no buffer
int poller;  // the edge-triggered epoll instance

struct FreeList {  // coroutine frames and sessions are recycled by size class
    void* head[32] = {};
    void* get(std::size_t n) {
        auto k = (n + 63) / 64;
        if (k < 32 && head[k]) return std::exchange(head[k], *static_cast<void**>(head[k]));
        return std::malloc(k * 64);
    }
    void put(void* p, std::size_t n) {
        auto k = (n + 63) / 64;
        if (k >= 32) return std::free(p);
        *static_cast<void**>(p) = head[k];
        head[k] = p;
    }
} free_list;

struct Task {  // runs until its first await at once, destroys itself at the end
    struct promise_type {
        static void* operator new(std::size_t n) { return free_list.get(n); }
        static void operator delete(void* p, std::size_t n) { free_list.put(p, n); }
        Task get_return_object() { return {}; }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() { std::terminate(); }
    };
};

struct Latch {  // set by an event, cleared by EAGAIN or a short read; awaiting it allocates nothing
    bool ready = false;
    std::coroutine_handle<> waiter{};
    bool await_ready() const { return ready; }
    void await_suspend(std::coroutine_handle<> h) { waiter = h; }
    void await_resume() {}
    void set() {
        ready = true;
        if (auto h = std::exchange(waiter, {})) h.resume();
    }
};

struct Socket {
    int fd = -1;
    Latch readable, writable;
    bool hung_up = false;  // RDHUP/HUP/ERR seen: a short read no longer means "drained"
    void watch() {
        epoll_event e{EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, {.ptr = this}};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e);  // once; never modified
    }
};

struct Session {
    Socket client, backend;
    int pumps = 2;
};
std::vector<Session*> finished;  // freed after the batch of events, which may still name them

Task pump(Session* s, Socket& from, Socket& to) {
    int pipe[2] = {-1, -1}, full_reads = 0;
    ssize_t in_pipe = 0;
    std::vector<char> rest;
    for (;;) {
        if (!from.readable.ready) co_await from.readable;
        if (pipe[0] < 0) {  // copy through the scratch buffer
            auto n = ::recv(from.fd, scratch, scratch_size, 0);
            if (n < 0 && errno == EAGAIN) {
                from.readable.ready = false;
                continue;
            }
            if (n <= 0) break;
            if (std::size_t(n) < scratch_size && !from.hung_up) from.readable.ready = false;
            auto sent = ::send(to.fd, scratch, n, MSG_NOSIGNAL);
            if (sent < 0 && errno != EAGAIN) break;
            if (sent < n) {  // only now does this direction own memory
                rest.assign(scratch + std::max<ssize_t>(sent, 0), scratch + n);
                for (std::size_t off = 0; off < rest.size();) {
                    to.writable.ready = false;
                    co_await to.writable;
                    auto k = ::send(to.fd, rest.data() + off, rest.size() - off, MSG_NOSIGNAL);
                    if (k < 0 && errno != EAGAIN) goto done;
                    if (k > 0) off += k;
                }
                rest = {};
            }
            if (std::size_t(n) == scratch_size && ++full_reads > 3 &&
                ::pipe2(pipe, O_NONBLOCK) == 0)
                fcntl(pipe[1], F_SETPIPE_SZ, pipe_size);
        } else {  // bulk: socket -> pipe -> socket without touching the bytes
            auto n = ::splice(from.fd, nullptr, pipe[1], nullptr, pipe_size,
                              SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
            if (n == 0) break;
            if (n < 0 && errno != EAGAIN) break;
            if (n < 0 && in_pipe == 0) {
                from.readable.ready = false;
                continue;
            }
            in_pipe += std::max<ssize_t>(n, 0);
            while (in_pipe > 0) {
                auto k = ::splice(pipe[0], nullptr, to.fd, nullptr, in_pipe,
                                  SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
                if (k < 0 && errno != EAGAIN) goto done;
                if (k < 0) {
                    to.writable.ready = false;
                    co_await to.writable;
                } else
                    in_pipe -= k;
            }
        }
    }
done:
    if (pipe[0] >= 0) ::close(pipe[0]), ::close(pipe[1]);
    if (--s->pumps > 0) {
        ::shutdown(to.fd, SHUT_WR);
    } else {
        ::close(s->client.fd), ::close(s->backend.fd);
        finished.push_back(s);
    }
}

Task session(int client, sockaddr_in backend) {
    auto* s = new (free_list.get(sizeof(Session))) Session;
    s->client.fd = client;
    s->backend.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    setsockopt(s->backend.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ::connect(s->backend.fd, reinterpret_cast<sockaddr*>(&backend), sizeof backend);
    s->backend.watch();
    s->client.watch();
    co_await s->backend.writable;
    pump(s, s->backend, s->client);
    pump(s, s->client, s->backend);
}

Task listener(Socket* l, std::vector<sockaddr_in> backends) {
    for (std::size_t next = 0;;) {
        co_await l->readable;
        int fd = ::accept4(l->fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            l->readable.ready = false;
            continue;
        }
        session(fd, backends[next++ % backends.size()]);
    }
}

[[noreturn]] void run() {  // the whole event loop of a worker; mail and timers would join here
    epoll_event events[256];
    for (;;) {
        int n = epoll_wait(poller, events, 256, -1);
        for (int i = 0; i < n; ++i) {
            auto* s = static_cast<Socket*>(events[i].data.ptr);
            auto e = events[i].events;
            if (e & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) s->hung_up = true;
            if (e & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) s->readable.set();
            if (e & (EPOLLOUT | EPOLLHUP | EPOLLERR)) s->writable.set();
        }
        for (auto* s : finished) s->~Session(), free_list.put(s, sizeof(Session));
        finished.clear();
    }
}

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);  // splice() to a closed peer raises it
    poller = epoll_create1(EPOLL_CLOEXEC);
    auto at = [](int port) {
        sockaddr_in a{};
        a.sin_family = AF_INET, a.sin_port = htons(port),
        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        return a;
    };
    std::vector<sockaddr_in> backends;
    for (int i = 2; i < argc; ++i) backends.push_back(at(std::atoi(argv[i])));
    Socket l;
    l.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    setsockopt(l.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(l.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // accepted sockets inherit it
    auto a = at(std::atoi(argv[1]));
    if (::bind(l.fd, reinterpret_cast<sockaddr*>(&a), sizeof a) || ::listen(l.fd, 4096))
        return std::perror("listen"), 1;
    l.watch();
    listener(&l, std::move(backends));
    run();
}
