#include "tests/unit/net/tls/segments.hpp"

#include <gtest/gtest.h>

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace penstock::net::tls {

Segments segments_sent(int fd) {
    tcp_info info{};
    socklen_t size = sizeof info;
    EXPECT_EQ(::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size), 0);
    return {info.tcpi_segs_out, info.tcpi_data_segs_out};
}

}  // namespace penstock::net::tls
