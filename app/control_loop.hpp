#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

namespace penstock::app {

/// The control thread's loop, with its signals registered before anything takes time. From its
/// destruction on they are ignored: the process is about to end by itself, as it was told.
class ControlLoop {
    struct Context : boost::asio::io_context {
        using io_context::io_context;
        using io_context::shutdown;
    };

public:
    using Signals = boost::asio::basic_signal_set<boost::asio::io_context::executor_type>;

    ControlLoop();
    ControlLoop(const ControlLoop&) = delete;
    ControlLoop& operator=(const ControlLoop&) = delete;
    ~ControlLoop();

    /// Destroys what still waits in the loop, coroutines among it: to be called while what they
    /// refer to lives, and when no other thread may post anything. Nothing runs in it afterwards.
    void abandon() { context.shutdown(); }

    Context context{1};
    Signals signals;
};

}  // namespace penstock::app
