#include "tests/support/rude_server.hpp"

#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>
#include <vector>

namespace penstock::test {

RudeServer::RudeServer(Manners manners, const std::string& address)
    : manners_(std::move(manners)), listener_(listen_on(Address::parse(address), 4096)) {
    address_ = Address::local_of(listener_.get());
    thread_ = std::thread([this] { serve(); });
}

RudeServer::~RudeServer() {
    stopping_ = true;
    thread_.join();
}

void RudeServer::serve() {
    while (!stopping_) {
        std::vector<pollfd> polled{{listener_.get(), POLLIN, 0}};
        for (const Guest& guest : guests_) polled.push_back({guest.socket.fd(), wishes(guest), 0});
        const bool is_slow = manners_.pace > 0ms && !guests_.empty();
        ::poll(polled.data(), polled.size(), is_slow ? 1 : 20);
        std::size_t index = 1;
        for (auto guest = guests_.begin(); guest != guests_.end();) {
            const short events = polled[index++].revents;
            const bool readable = (events & (POLLIN | POLLHUP | POLLERR)) != 0;
            const bool stays = (!readable || read(*guest)) && speak(*guest);
            guest = stays ? std::next(guest) : guests_.erase(guest);
        }
        if ((polled[0].revents & POLLIN) != 0) accept_all();
        open_ = guests_.size();
    }
    guests_.clear();
}

bool RudeServer::must_wait(const Guest& guest) const {
    return (manners_.waits_for_request && !guest.asked) || (manners_.waits_for_word && !may_speak_);
}

short RudeServer::wishes(const Guest& guest) const {
    const bool wants_room = !must_wait(guest) && !guest.done && manners_.pace == 0ms;
    return static_cast<short>(POLLIN | (wants_room ? POLLOUT : 0));
}

void RudeServer::accept_all() {
    for (;;) {
        UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (!fd) return;
        guests_.push_back({.socket = Socket(std::move(fd))});
        if (!speak(guests_.back())) guests_.pop_back();
        open_ = guests_.size();
        ++accepted_;
    }
}

bool RudeServer::note_end(std::ptrdiff_t result) {
    if (result == -ECONNRESET || result == -EPIPE) ++resets_;
    return false;
}

bool RudeServer::read(Guest& guest) {
    std::array<std::byte, 16384> discarded;
    for (;;) {
        const auto count = guest.socket.try_receive(discarded);
        if (count == -EAGAIN) return true;
        if (count <= 0) return note_end(count);
        if (!std::exchange(guest.asked, true)) ++asked_;
    }
}

bool RudeServer::say(Guest& guest, bool& would_block) {
    const auto now = Clock::now();
    while (guest.said < manners_.says.size()) {
        if (manners_.pace > 0ms) {
            if (now < guest.next) {
                would_block = true;
                return true;
            }
            guest.next = now + manners_.pace;
        }
        const std::size_t rest = manners_.says.size() - guest.said;
        const auto bytes = std::as_bytes(std::span(manners_.says))
                               .subspan(guest.said, manners_.pace > 0ms ? 1 : rest);
        const auto count = guest.socket.try_send(bytes);
        would_block = count == -EAGAIN;
        if (would_block) return true;
        if (count < 0) return note_end(count);
        guest.said += static_cast<std::size_t>(count);
    }
    return true;
}

// A bounded piece, so that no guest has the thread for itself.
bool RudeServer::repeat(Guest& guest, bool& would_block) {
    const std::uint64_t goal =
        std::min<std::uint64_t>(manners_.repeats_up_to, guest.repeated + (std::uint64_t{1} << 20));
    while (guest.repeated < goal) {
        const auto count = guest.socket.try_send(std::as_bytes(std::span(manners_.repeats)));
        would_block = count == -EAGAIN;
        if (would_block) return true;
        if (count < 0) return note_end(count);
        guest.repeated += static_cast<std::uint64_t>(count);
        most_sent_ = std::max(most_sent_.load(), guest.repeated);
    }
    would_block = guest.repeated < manners_.repeats_up_to;
    return true;
}

bool RudeServer::speak(Guest& guest) {
    if (guest.done || must_wait(guest)) return true;
    bool would_block = false;
    if (!say(guest, would_block)) return false;
    if (would_block) return true;
    if (!repeat(guest, would_block)) return false;
    if (would_block) return true;
    guest.done = true;
    ++spoken_;
    return leave(guest);
}

bool RudeServer::leave(Guest& guest) {
    switch (manners_.then) {
        case Manners::Then::hold: return true;
        case Manners::Then::finish: guest.socket.finish(); return true;
        case Manners::Then::close: return false;
        case Manners::Then::reset: guest.socket.reset(); return false;
    }
    return false;
}

}  // namespace penstock::test
