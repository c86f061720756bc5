#include "net/pipe_pool.hpp"

#include <fcntl.h>

namespace penstock::net {

PipePool::~PipePool() { wheel_.cancel(*this); }

Pipe* PipePool::take() {
    if (!idle_.empty()) {
        Pipe* pipe = idle_.back().release();
        idle_.pop_back();
        return pipe;
    }
    if (open_ >= max_pipes) return nullptr;
    int ends[2];
    if (::pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return nullptr;
    UniqueFd read_end(ends[0]);
    UniqueFd write_end(ends[1]);
    // An unprivileged user's pipes share a page limit (pipe(7)): what was granted is read back.
    ::fcntl(write_end.get(), F_SETPIPE_SZ, static_cast<int>(wanted_capacity));
    const int granted = ::fcntl(write_end.get(), F_GETPIPE_SZ);
    if (granted <= 0) return nullptr;
    ++open_;
    return new Pipe(std::move(read_end), std::move(write_end), static_cast<std::size_t>(granted));
}

void PipePool::give_back(Pipe* pipe, TimePoint now) noexcept {
    std::unique_ptr<Pipe> owned(pipe);
    if (owned->size() != 0) {
        --open_;
        return;
    }
    idle_.push_back(std::move(owned));
    if (idle_.size() > 1 && !filed()) wheel_.file(*this, now + idle_time);
}

void PipePool::on_timer(TimePoint) {
    while (idle_.size() > 1) {
        idle_.pop_back();
        --open_;
    }
}

}  // namespace penstock::net
