#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <string>
#include <thread>

#include "tests/support/socket.hpp"

namespace penstock::test {

/// What a RudeServer does with each of its connections: waits for a first read if it is polite,
/// speaks, then ends or stays. It discards whatever it is sent.
struct Manners {
    enum class Then : std::uint8_t {
        hold,        // stays until the client leaves
        finish,      // FIN, and stays
        close,       // orderly, once it has read what was there
        reset,       // RST
    };

    bool waits_for_request = false;  // speaks only after the first bytes have come
    bool waits_for_word = false;     // speaks only after RudeServer::speak_now()
    std::string says{};              // at once, or
    milliseconds pace{0};            // one byte of `says` in this time
    std::string repeats{};           // after that, as fast as it is taken
    std::uint64_t repeats_up_to = 0;  // bytes
    Then then = Then::hold;
};

/// One thread that serves any number of connections badly. It keeps none beyond its end.
class RudeServer {
public:
    explicit RudeServer(Manners manners, const std::string& address = "127.0.0.1:0");
    ~RudeServer();
    RudeServer(const RudeServer&) = delete;
    RudeServer& operator=(const RudeServer&) = delete;

    [[nodiscard]] std::string text() const { return address_.text(); }
    [[nodiscard]] unsigned accepted() const { return accepted_; }
    void speak_now() { may_speak_ = true; }
    /// Connections that have sent something.
    [[nodiscard]] unsigned asked() const { return asked_; }
    /// Connections to which everything was said.
    [[nodiscard]] unsigned spoken() const { return spoken_; }
    /// Connections that neither side has ended.
    [[nodiscard]] std::size_t open() const { return open_; }
    /// Clients that reset their connection.
    [[nodiscard]] unsigned resets() const { return resets_; }
    /// Of the largest connection.
    [[nodiscard]] std::uint64_t most_sent() const { return most_sent_; }

private:
    struct Guest {
        Socket socket;
        bool asked = false;
        bool done = false;  // has said everything
        std::size_t said = 0;
        std::uint64_t repeated = 0;
        Clock::time_point next{};  // byte of a slow speaker
    };

    void serve();
    void accept_all();
    /// False when the connection is over.
    bool read(Guest& guest);
    bool speak(Guest& guest);
    bool say(Guest& guest, bool& would_block);
    bool repeat(Guest& guest, bool& would_block);
    bool leave(Guest& guest);
    [[nodiscard]] bool must_wait(const Guest& guest) const;
    [[nodiscard]] short wishes(const Guest& guest) const;
    bool note_end(std::ptrdiff_t result);

    Manners manners_;
    UniqueFd listener_;
    Address address_;
    std::list<Guest> guests_;
    std::atomic<bool> stopping_ = false;
    std::atomic<bool> may_speak_ = false;
    std::atomic<unsigned> asked_ = 0;
    std::atomic<unsigned> spoken_ = 0;
    std::atomic<unsigned> accepted_ = 0;
    std::atomic<std::size_t> open_ = 0;
    std::atomic<unsigned> resets_ = 0;
    std::atomic<std::uint64_t> most_sent_ = 0;
    std::thread thread_;
};

}  // namespace penstock::test
