#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/free_list.hpp"
#include "config/config.hpp"
#include "net/proxy_protocol/header.hpp"
#include "net/tls/stream.hpp"
#include "proxy/front/client_facts.hpp"

namespace penstock::proxy {

/// What only sessions have that begin with more than their bytes: with a PROXY header, a
/// ClientHello, or TLS on one side or both.
struct Front : FromFreeList {
    std::shared_ptr<ClientFacts> facts = std::make_shared<ClientFacts>();
    std::vector<std::string> offered_alpn{};
    std::vector<net::proxy_protocol::Tlv> tlvs{};  // of the client's PROXY header
    config::StartTls starttls = config::StartTls::none;  // the client asked for TLS this way
    bool not_tls = false;  // it was looked at, and speaks something else
    bool plain_start = false;  // of a protocol that could have asked for TLS
    std::uint64_t bytes_at_end =
        0;  // had come from one side when the other one's end was passed on
    // The contexts live as long as the streams made of them.
    std::shared_ptr<const net::tls::ServerContext> server_context{};
    std::shared_ptr<const net::tls::ClientContext> client_context{};
    std::unique_ptr<net::tls::Stream> client{};   // null = plain
    std::unique_ptr<net::tls::Stream> backend{};
};

}  // namespace penstock::proxy
