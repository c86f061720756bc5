#include "net/tcp_info.hpp"

#include <cstddef>

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace penstock::net {

std::optional<DeliveryInfo> delivery_info(int fd) noexcept {
    tcp_info info{};
    socklen_t length = sizeof info;
    if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return std::nullopt;
    if (length < offsetof(tcp_info, tcpi_notsent_bytes) + sizeof info.tcpi_notsent_bytes)
        return std::nullopt;
    return DeliveryInfo{info.tcpi_bytes_acked, info.tcpi_unacked, info.tcpi_notsent_bytes,
                        info.tcpi_probes, std::chrono::milliseconds(info.tcpi_last_ack_recv)};
}

// TCP_LISTEN of netinet/tcp.h, which does not go together with linux/tcp.h.
constexpr unsigned char listen_state = 10;

std::optional<AcceptQueueInfo> accept_queue(int fd) noexcept {
    tcp_info info{};
    socklen_t length = sizeof info;
    if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return std::nullopt;
    if (info.tcpi_state != listen_state) return std::nullopt;
    return AcceptQueueInfo{info.tcpi_unacked, info.tcpi_sacked};  // of a listening socket (tcp(7))
}

}  // namespace penstock::net
