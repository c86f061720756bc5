#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

namespace penstock::app {

/// Asks the demo's proxy for something some twenty times a second, so that there is something to
/// see. What fails is tried again; ends with the io_context.
[[nodiscard]] boost::asio::awaitable<void> demo_traffic(boost::asio::io_context& context,
                                                        boost::asio::ip::tcp::endpoint proxy);

}  // namespace penstock::app
