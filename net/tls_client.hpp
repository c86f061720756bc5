#pragma once

#include <memory>
#include <string>

#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>

namespace penstock::net {

/// What TLS clients of the control plane share: protocol versions and certificates. Made once,
/// used by many connections at a time. One thread.
class TlsClient {
public:
    /// A stream on top of `NextLayer&`, which must outlive it. Not to be moved.
    template <typename NextLayer>
    using Stream = boost::asio::ssl::stream<NextLayer&>;

    /// TLS 1.2 and 1.3, and no look at the server's certificate: for those who only want to know
    /// whether the server is there. Throws boost::system::system_error.
    TlsClient();

    template <typename NextLayer>
    [[nodiscard]] std::unique_ptr<Stream<NextLayer>> stream(NextLayer& on,
                                                            const std::string& server_name) {
        auto made = std::make_unique<Stream<NextLayer>>(on, context_);
        set_server_name(made->native_handle(), server_name);
        return made;
    }

private:
    static void set_server_name(SSL* session, const std::string& name);

    boost::asio::ssl::context context_;
};

}  // namespace penstock::net
