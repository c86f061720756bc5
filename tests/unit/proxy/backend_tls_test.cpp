// TLS towards backends while the configuration changes, through a worker that serves.
#include <future>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "net/postgres_start.hpp"
#include "tests/unit/proxy/arriving.hpp"
#include "tests/unit/proxy/tls_peer.hpp"

namespace penstock::proxy {
namespace {

using enum CloseReason;
using net::UniqueFd;
using Context = std::shared_ptr<const net::tls::ClientContext>;

config::Upstream with_tls_to(const std::string& server_name) {
    config::Upstream upstream;
    upstream.tls.emplace().server_name = server_name;
    return upstream;
}

/// The certificates of its files are others.
void renew(RunningWorker& running, Context context) {
    running.on_worker([&] {
        running.worker.set_tls(*running.upstream, std::move(context));
        return 0;
    });
}
/// Another configuration: `running.settings` as they are now, and that context.
void reload(RunningWorker& running, Context context) {
    WorkerUpdate update = running.as_it_is();
    update.upstreams[0].changed = std::make_shared<const config::Upstream>(running.settings);
    update.upstreams[0].snapshot = running.first;
    update.upstreams[0].tls = std::move(context);
    running.apply(std::move(update));
}

// The backend has been asked for TLS when the upstream becomes a plain one.
TEST(BackendTls, an_attempt_goes_on_with_the_trust_that_it_began_with) {
    for (const bool by_reload : {false, true}) {
        config::Listener listener = with_tls();
        listener.starttls = config::StartTls::postgres;
        RunningWorker running(listener, with_tls_to("a.test"), 1, server_context());
        renew(running, client_context());
        UniqueFd fd = running.connect();
        net::say(fd, std::string(net::postgres_ssl_request));
        ASSERT_EQ(read_exactly(fd, 1), "S");
        TlsPeer client(std::move(fd));
        ASSERT_TRUE(client.shake());
        ASSERT_TRUE(client.say("secret"));
        UniqueFd backend = running.accept_backend();
        ASSERT_EQ(read_exactly(backend, 8), net::postgres_ssl_request);
        if (by_reload) {
            running.settings.tls.reset();
            reload(running, nullptr);
        } else {
            renew(running, nullptr);
        }
        net::say(backend, "S");
        char first = 0;
        ASSERT_EQ(::recv(backend.get(), &first, 1, MSG_PEEK), 1);
        ASSERT_EQ(first, '\x16') << "not in clear";
        TlsPeer server(std::move(backend), server_context());
        ASSERT_TRUE(server.shake());
        EXPECT_TRUE(server.hears("secret"));
    }
}

// Its answer has come in time; this process looked late.
TEST(BackendTls, a_backend_that_has_answered_is_not_late) {
    config::Upstream settings = with_tls_to("a.test");
    settings.connect_timeout = std::chrono::milliseconds(300);
    settings.attempts = 1;
    RunningWorker running({}, settings);
    renew(running, client_context());
    const UniqueFd client = running.connect();
    net::say(client, "hello");
    UniqueFd fd = running.accept_backend();
    char first = 0;
    ASSERT_EQ(::recv(fd.get(), &first, 1, MSG_PEEK), 1);
    std::promise<void> may_go_on;
    running.worker.send([&] { may_go_on.get_future().wait(); });
    TlsPeer server(std::move(fd), server_context());
    auto shaken = std::async(std::launch::async, [&] { return server.shake(); });
    EXPECT_EQ(shaken.wait_for(2 * settings.connect_timeout), std::future_status::timeout);
    may_go_on.set_value();
    EXPECT_TRUE(shaken.get());
    EXPECT_TRUE(server.hears("hello"));
}

TEST(BackendTls, warm_connections_are_opened_anew_when_their_trust_changes) {
    config::Upstream settings = with_tls_to("a.test");
    RunningWorker running({}, settings);
    running.settings.pool.min_idle = 1;
    const Context first = client_context();
    const Context second = client_context(false);
    const Context third = client_context();
    reload(running, first);
    auto warm = std::make_unique<TlsPeer>(running.accept_backend(), server_context());
    ASSERT_TRUE(warm->shake());
    // The same again changes nothing: it is the one that serves below.
    renew(running, first);
    reload(running, first);
    const auto expect_another = [&](const char* why) {
        SCOPED_TRACE(why);
        ASSERT_TRUE(warm->is_left());
        warm = std::make_unique<TlsPeer>(running.accept_backend(), server_context());
        ASSERT_TRUE(warm->shake());
    };
    const auto expect_the_same = [&] {
        pollfd called{running.backend_listeners[0].get(), POLLIN, 0};
        running.on_worker([] { return 0; });
        EXPECT_EQ(::poll(&called, 1, 0), 0);
    };
    expect_the_same();
    renew(running, second);
    expect_another("other certificates");
    reload(running, third);
    expect_another("other certificates, by a reload");
    running.settings.tls->verify = false;  // the context stands for more than this test's
    reload(running, third);
    expect_another("other rules");
    expect_the_same();
    const UniqueFd client = running.connect();
    net::say(client, "hello");
    EXPECT_TRUE(warm->hears("hello"));
}

}  // namespace
}  // namespace penstock::proxy
