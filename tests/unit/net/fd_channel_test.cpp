#include "net/fd_channel.hpp"
#include "net/asio_words.hpp"

#include <cstring>
#include <exception>
#include <filesystem>
#include <iterator>
#include <thread>

#include <boost/asio/co_spawn.hpp>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/unit/net/socket_pair.hpp"

namespace penstock::net {
namespace {

using Kind = FdChannelError::Kind;
using std::chrono::seconds;

constexpr auto patience = seconds(30);

TimePoint in(Duration time) { return SteadyClock().now() + time; }

std::size_t open_descriptors() {
    const std::filesystem::directory_iterator entries("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
}

ino_t inode_of(int fd) {
    struct stat status{};
    require(::fstat(fd, &status) == 0, "fstat");
    return status.st_ino;
}

std::vector<UniqueFd> sockets(std::size_t count) {
    std::vector<UniqueFd> made;
    for (std::size_t i = 0; i < count; ++i)
        made.emplace_back(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    return made;
}

std::vector<int> numbers(const std::vector<UniqueFd>& fds) {
    std::vector<int> plain;
    for (const auto& fd : fds) plain.push_back(fd.get());
    return plain;
}

void expect_same(const std::vector<UniqueFd>& received, const std::vector<UniqueFd>& sent) {
    ASSERT_EQ(received.size(), sent.size());
    for (std::size_t i = 0; i < sent.size(); ++i) {
        EXPECT_EQ(inode_of(received[i].get()), inode_of(sent[i].get())) << i;
        EXPECT_NE(::fcntl(received[i].get(), F_GETFD) & FD_CLOEXEC, 0) << i;
    }
}

class FdChannelTest : public testing::Test {
protected:
    FdChannelTest() {
        auto ends = make_fd_channel();
        require(ends.has_value(), "socketpair");
        one = std::move(ends->first);
        other = std::move(ends->second);
    }
    void expect_malformed() {
        const std::size_t before = open_descriptors();
        {
            BlockingFdChannel channel(std::move(other));
            const auto message = channel.receive(in(patience));
            ASSERT_FALSE(message);
            EXPECT_EQ(message.error().kind, Kind::malformed) << message.error().message;
        }
        EXPECT_EQ(open_descriptors(), before - 1) << "only the channel's own is closed";
    }
    /// As another program would: one byte per descriptor, or whatever the text is.
    void send_raw(std::string_view text, const std::vector<int>& fds = {}) const {
        union {
            char bytes[CMSG_SPACE(8 * sizeof(int))];
            cmsghdr align;
        } control{};
        std::string copy(text);
        iovec part{copy.data(), copy.size()};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        if (!fds.empty()) {
            message.msg_control = control.bytes;
            message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
            cmsghdr* rights = CMSG_FIRSTHDR(&message);
            rights->cmsg_level = SOL_SOCKET;
            rights->cmsg_type = SCM_RIGHTS;
            rights->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
            std::memcpy(CMSG_DATA(rights), fds.data(), fds.size() * sizeof(int));
        }
        require(::sendmsg(one.get(), &message, MSG_NOSIGNAL) == std::ssize(copy), "sendmsg");
    }
    static std::string header(std::uint64_t bytes, std::uint64_t fds) {
        std::string text = "Penstock";
        // "Penstock" as a number of this machine is what the frame begins with.
        const std::uint64_t mark = 0x6b636f74736e6550;
        std::memcpy(text.data(), &mark, sizeof mark);
        text.append(reinterpret_cast<const char*>(&bytes), sizeof bytes);
        text.append(reinterpret_cast<const char*>(&fds), sizeof fds);
        return text;
    }

    UniqueFd one;
    UniqueFd other;
};

TEST_F(FdChannelTest, brings_bytes_and_descriptors_in_the_order_they_were_sent) {
    BlockingFdChannel sender(std::move(one));
    BlockingFdChannel receiver(std::move(other));
    const auto sent = sockets(3);
    ASSERT_TRUE(sender.send("first", numbers(sent), in(patience)));
    ASSERT_TRUE(sender.send("", {}, in(patience)));
    ASSERT_TRUE(sender.send("third", {}, in(patience)));
    const auto first = receiver.receive(in(patience));
    const auto second = receiver.receive(in(patience));
    const auto third = receiver.receive(in(patience));
    ASSERT_TRUE(first && second && third);
    EXPECT_EQ(first->bytes, "first");
    expect_same(first->fds, sent);
    EXPECT_EQ(second->bytes, "");
    EXPECT_TRUE(second->fds.empty());
    EXPECT_EQ(third->bytes, "third");
    EXPECT_TRUE(third->fds.empty());
}

// The kernel takes 253 at a time, and less than a megabyte.
TEST_F(FdChannelTest, U1_brings_more_than_one_message_of_the_kernel_holds) {
    const auto sent = sockets(254 + 253);
    const std::string bytes(std::size_t{5} << 20, 'x');
    std::jthread thread([&, end = std::move(one)]() mutable {
        BlockingFdChannel sender(std::move(end));
        EXPECT_TRUE(sender.send(bytes, numbers(sent), in(patience)));
    });
    BlockingFdChannel receiver(std::move(other));
    const auto message = receiver.receive(in(patience));
    ASSERT_TRUE(message) << message.error().message;
    EXPECT_TRUE(message->bytes == bytes);
    expect_same(message->fds, sent);
}

TEST_F(FdChannelTest, an_end_between_messages_is_an_end) {
    BlockingFdChannel receiver(std::move(other));
    one.reset();
    const auto message = receiver.receive(in(patience));
    ASSERT_FALSE(message);
    EXPECT_EQ(message.error().kind, Kind::ended);
    const auto sent = receiver.send("anybody?", {}, in(patience));
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error().kind, Kind::ended);
}

TEST_F(FdChannelTest, silence_ends_with_the_deadline) {
    BlockingFdChannel receiver(std::move(other));
    send_raw(header(5, 0) + "hel");
    const auto late = receiver.receive(in(std::chrono::milliseconds(20)));
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().kind, Kind::timed_out);
    send_raw("lo");
    const auto message = receiver.receive(in(patience));
    ASSERT_TRUE(message) << "what had come before is not lost";
    EXPECT_EQ(message->bytes, "hello");
}

TEST_F(FdChannelTest, nobody_reads_until_the_deadline) {
    BlockingFdChannel sender(std::move(one));
    const auto sent =
        sender.send(std::string(std::size_t{8} << 20, 'x'), {}, in(std::chrono::milliseconds(20)));
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error().kind, Kind::timed_out);
}

TEST_F(FdChannelTest, refuses_what_is_no_message) {
    send_raw("GET / HTTP/1.1\r\nHost: penstock\r\n\r\n");
    expect_malformed();
}

TEST_F(FdChannelTest, refuses_lengths_beyond_reason) {
    send_raw(header(~std::uint64_t{0}, 0));
    expect_malformed();
}

TEST_F(FdChannelTest, refuses_counts_beyond_reason) {
    send_raw(header(0, ~std::uint64_t{0}));
    expect_malformed();
}

TEST_F(FdChannelTest, a_message_that_is_cut_short_leaves_no_descriptor_behind) {
    const auto sent = sockets(2);
    send_raw(header(10, 2));
    send_raw(std::string(1, '\0'), numbers(sent));
    send_raw("half");
    one.reset();
    expect_malformed();
}

TEST_F(FdChannelTest, descriptors_that_were_not_announced_are_closed) {
    const auto sent = sockets(3);
    send_raw(header(1, 1));
    send_raw(std::string(1, '\0'), numbers(sent));
    expect_malformed();
}

TEST_F(FdChannelTest, descriptors_before_their_place_are_closed) {
    const auto sent = sockets(1);
    send_raw(header(1, 1), numbers(sent));
    expect_malformed();
}

TEST_F(FdChannelTest, fewer_descriptors_than_announced_are_no_message) {
    const auto sent = sockets(2);
    send_raw(header(0, 3));
    send_raw(std::string(1, '\0'), numbers(sent));
    expect_malformed();
}

TEST_F(FdChannelTest, says_when_this_process_may_not_have_so_many) {
    const auto sent = sockets(8);
    BlockingFdChannel sender(std::move(one));
    ASSERT_TRUE(sender.send("x", numbers(sent), in(patience)));
    const std::size_t before = open_descriptors();
    rlimit old{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &old), 0);
    const int highest = ::dup(other.get());
    ::close(highest);
    const rlimit few{static_cast<rlim_t>(highest) + 2, old.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
    {
        BlockingFdChannel receiver(std::move(other));
        const auto message = receiver.receive(in(patience));
        ::setrlimit(RLIMIT_NOFILE, &old);
        ASSERT_FALSE(message);
        EXPECT_EQ(message.error().kind, Kind::failed);
        EXPECT_NE(message.error().message.find("LimitNOFILE"), std::string::npos)
            << message.error().message;
    }
    EXPECT_EQ(open_descriptors(), before - 1);
}

// --- on an io_context ---------------------------------------------------------------------------

namespace asio = boost::asio;

class AsyncFdChannelTest : public FdChannelTest {
protected:
    void run() { context.run_for(patience); }
    asio::awaitable<void> receive_into(FdChannel& channel, TimePoint deadline) {
        auto message = co_await channel.receive(deadline);
        received.push_back(std::move(message));
    }
    asio::awaitable<void> send_from(FdChannel& channel, std::string bytes, TimePoint deadline) {
        std::string copy = bytes;
        std::vector<int> none;
        auto sending = channel.send(std::move(copy), std::move(none), deadline);
        const auto sent = co_await std::move(sending);
        sent_ok.push_back(sent.has_value());
    }

    asio::io_context context;
    std::vector<std::expected<FdMessage, FdChannelError>> received;
    std::vector<bool> sent_ok;
};

TEST_F(AsyncFdChannelTest, senders_take_turns) {
    FdChannel sender(context, std::move(one));
    FdChannel receiver(context, std::move(other));
    const std::string large(std::size_t{3} << 20, 'a');
    asio::co_spawn(context, send_from(sender, large, in(patience)), rethrow_failure);
    asio::co_spawn(context, send_from(sender, "b", in(patience)), rethrow_failure);
    asio::co_spawn(context, send_from(sender, large, no_deadline), rethrow_failure);
    for (int i = 0; i < 3; ++i) {
        asio::co_spawn(context, receive_into(receiver, no_deadline), rethrow_failure);
        while (received.size() < static_cast<std::size_t>(i) + 1)
            ASSERT_NE(context.run_one_for(patience), 0U);
    }
    run();
    EXPECT_EQ(sent_ok, std::vector<bool>(3, true));
    ASSERT_TRUE(received[0] && received[1] && received[2]);
    EXPECT_TRUE(received[0]->bytes == large);
    EXPECT_EQ(received[1]->bytes, "b");
    EXPECT_TRUE(received[2]->bytes == large);
}

TEST_F(AsyncFdChannelTest, who_waits_for_a_turn_waits_until_its_deadline) {
    FdChannel sender(context, std::move(one));
    FdChannel receiver(context, std::move(other));
    const std::string large(std::size_t{3} << 20, 'a');
    asio::co_spawn(context, send_from(sender, large, no_deadline), rethrow_failure);
    asio::co_spawn(context, send_from(sender, "b", in(std::chrono::milliseconds(20))),
                   rethrow_failure);
    while (sent_ok.empty()) ASSERT_NE(context.run_one_for(patience), 0U);
    EXPECT_EQ(sent_ok, std::vector<bool>{false}) << "nobody reads";
    asio::co_spawn(context, receive_into(receiver, no_deadline), rethrow_failure);
    while (received.empty()) ASSERT_NE(context.run_one_for(patience), 0U);
    ASSERT_TRUE(received[0]);
    EXPECT_TRUE(received[0]->bytes == large) << "the one before it is as whole as ever";
    context.restart();
    asio::co_spawn(context, send_from(sender, "c", in(patience)), rethrow_failure);
    asio::co_spawn(context, receive_into(receiver, no_deadline), rethrow_failure);
    while (received.size() < 2) ASSERT_NE(context.run_one_for(patience), 0U);
    ASSERT_TRUE(received[1]);
    EXPECT_EQ(received[1]->bytes, "c");
}

TEST_F(AsyncFdChannelTest, both_directions_at_a_time_and_a_time_out_of_one_of_them) {
    FdChannel channel(context, std::move(one));
    BlockingFdChannel peer(std::move(other));
    asio::co_spawn(context, receive_into(channel, no_deadline), rethrow_failure);
    asio::co_spawn(context,
                   send_from(channel, std::string(std::size_t{8} << 20, 'x'),
                             in(std::chrono::milliseconds(20))),
                   rethrow_failure);
    while (sent_ok.empty()) ASSERT_NE(context.run_one_for(patience), 0U);
    EXPECT_EQ(sent_ok, std::vector<bool>{false}) << "nobody reads";
    EXPECT_TRUE(received.empty()) << "the reader has no deadline";
    ASSERT_TRUE(peer.send("at last", {}, in(patience)));
    run();
    ASSERT_EQ(received.size(), 1U);
    ASSERT_TRUE(received[0]);
    EXPECT_EQ(received[0]->bytes, "at last");
    asio::co_spawn(context, send_from(channel, "more", in(patience)), rethrow_failure);
    context.restart();
    run();
    EXPECT_EQ(sent_ok, std::vector<bool>(2, false)) << "half a message went before";
}

TEST_F(AsyncFdChannelTest, silence_ends_with_the_deadline) {
    FdChannel channel(context, std::move(one));
    asio::co_spawn(context, receive_into(channel, in(std::chrono::milliseconds(20))),
                   rethrow_failure);
    run();
    ASSERT_EQ(received.size(), 1U);
    ASSERT_FALSE(received[0]);
    EXPECT_EQ(received[0].error().kind, Kind::timed_out);
}

TEST_F(AsyncFdChannelTest, ends_who_waits_when_it_is_destroyed) {
    {
        FdChannel channel(context, std::move(one));
        asio::co_spawn(context, receive_into(channel, no_deadline), rethrow_failure);
        context.poll();
        ASSERT_TRUE(received.empty());
    }
    run();
    ASSERT_EQ(received.size(), 1U);
    EXPECT_FALSE(received[0]);
    char byte = 0;
    EXPECT_EQ(::recv(other.get(), &byte, 1, 0), 0) << "its descriptor is closed";
}

TEST_F(AsyncFdChannelTest, what_has_come_can_be_read_after_the_end_of_reading) {
    FdChannel channel(context, std::move(one));
    BlockingFdChannel peer(std::move(other));
    ASSERT_TRUE(peer.send("last words", {}, in(patience)));
    channel.end_reading();
    asio::co_spawn(context, receive_into(channel, no_deadline), rethrow_failure);
    run();
    context.restart();
    asio::co_spawn(context, receive_into(channel, no_deadline), rethrow_failure);
    run();
    ASSERT_EQ(received.size(), 2U);
    ASSERT_TRUE(received[0]);
    EXPECT_EQ(received[0]->bytes, "last words");
    ASSERT_FALSE(received[1]);
    EXPECT_EQ(received[1].error().kind, Kind::ended);
}

// As when a process hands its channel to an older one on to its successor.
TEST_F(AsyncFdChannelTest, a_duplicate_goes_on_where_the_channel_ended) {
    auto channel = std::make_unique<FdChannel>(context, std::move(one));
    BlockingFdChannel peer(std::move(other));
    ASSERT_TRUE(peer.send("one", {}, in(patience)));
    asio::co_spawn(context, receive_into(*channel, no_deadline), rethrow_failure);
    run();
    UniqueFd kept = channel->duplicate();
    ASSERT_TRUE(kept);
    channel.reset();
    context.restart();
    ASSERT_TRUE(peer.send("two", {}, in(patience)));
    run();
    BlockingFdChannel successor(std::move(kept));
    const auto message = successor.receive(in(patience));
    ASSERT_TRUE(message);
    EXPECT_EQ(message->bytes, "two");
}

}  // namespace
}  // namespace penstock::net
