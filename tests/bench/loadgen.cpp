// The load generator of the benchmark, and the backend behind the proxy.
//
//   penstock_loadgen serve                       prints {"port": P}, serves until its input ends
//   penstock_loadgen roundtrip|connect|resume|download|upload --target PORT ...   prints one JSON
//                                                line; `resume` is `connect` by resumed TLS
//   penstock_loadgen idle --target PORT -n 8000  prints {"idle": 8000}, holds until its input ends
//
// Exit status: 0 nothing went wrong, 1 errors were counted, 2 wrong usage.
#include <poll.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <csignal>
#include <iostream>
#include <optional>

#include "tests/bench/loadgen/bulk.hpp"
#include "tests/bench/loadgen/connect_cycle.hpp"
#include "tests/bench/loadgen/load.hpp"
#include "tests/bench/loadgen/round_trip.hpp"
#include "tests/bench/loadgen/serve.hpp"
#include "tests/bench/loadgen/wire.hpp"

namespace penstock::bench {
namespace {

using Seconds = std::chrono::duration<double>;

std::chrono::nanoseconds nanoseconds(double seconds) {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(Seconds(seconds));
}

/// Notices the end of standard input: whoever started this program has left or wants it to end.
class InputEnd final : public Handler {
public:
    explicit InputEnd(Loop& loop) : loop_(loop) {
        // A plain file or /dev/null cannot be watched by epoll, and /dev/null is at its end
        // already; then only the time limit ends the program.
        try {
            loop_.add(STDIN_FILENO, *this, EPOLLIN);
        } catch (const std::system_error&) {
        }
    }
    void on_ready(std::uint32_t) override {
        std::array<char, 256> ignored{};
        if (::read(STDIN_FILENO, ignored.data(), ignored.size()) > 0) return;
        ended_ = true;
        loop_.remove(STDIN_FILENO);
    }
    [[nodiscard]] bool ended() const { return ended_; }

private:
    Loop& loop_;
    bool ended_ = false;
};

void print(const boost::json::object& line) {
    std::cout << boost::json::serialize(line) << std::endl;
}

boost::json::object describe(const Errors& errors) {
    return {{"total", errors.total()},     {"connect", errors.connect},
            {"broken", errors.broken},     {"early_end", errors.early_end},
            {"mismatch", errors.mismatch}, {"timeout", errors.timeout},
            {"session", errors.session}};
}

boost::json::object describe(const std::string& mode, const Load& load, const Measurement& m) {
    const auto microseconds = [](std::uint64_t ns) { return static_cast<double>(ns) / 1000.0; };
    const auto rate = [&](std::uint64_t n) {
        return m.seconds() > 0 ? static_cast<double>(n) / m.seconds() : 0.0;
    };
    return {{"mode", mode},
            {"connections", load.connections},
            {"size", load.size},
            {"seconds", m.seconds()},
            {"operations", m.operations()},
            {"operations_per_second", rate(m.operations())},
            {"bytes", m.bytes()},
            {"bytes_per_second", rate(m.bytes())},
            {"latency_us",
             {{"p50", microseconds(m.latency().percentile(0.50))},
              {"p99", microseconds(m.latency().percentile(0.99))},
              {"max", microseconds(m.latency().max())}}},
            {"cpu",
             {{"total_ns", m.cpu().total_ns},
              {"user_ticks", m.cpu().user_ticks},
              {"system_ticks", m.cpu().system_ticks}}},
            {"errors", describe(m.errors)}};
}

int finish(const std::string& mode, const Load& load, const Measurement& measurement) {
    print(describe(mode, load, measurement));
    return measurement.errors.total() == 0 ? 0 : 1;
}

int serve(std::uint16_t port, double lifetime) {
    Loop loop;
    Backend backend(loop, port);
    InputEnd input(loop);
    print({{"port", backend.port()}});
    turn_until(loop, Clock::now() + nanoseconds(lifetime), [&] { return input.ended(); });
    print({{"accepted", backend.accepted()}, {"errors", backend.errors()}});
    return backend.errors() == 0 ? 0 : 1;
}

std::unique_ptr<Generator> make_generator(const std::string& mode, Loop& loop, const Load& load,
                                          Measurement& measurement) {
    if (mode == "roundtrip") return std::make_unique<RoundTrips>(loop, load, measurement);
    if (mode == "connect" || mode == "resume")
        return std::make_unique<ConnectCycles>(loop, load, measurement);
    const auto direction = mode == "download" ? Direction::download : Direction::upload;
    return std::make_unique<BulkStreams>(loop, load, measurement, direction);
}

int generate(const std::string& mode, const Load& load) {
    Loop loop;
    Measurement measurement(load);
    const auto generator = make_generator(mode, loop, load, measurement);
    run_load(loop, *generator, load, measurement);
    return finish(mode, load, measurement);
}

// Opens the connections, holds them until the input ends or `hold` is over, and then makes sure
// with one more round trip each that every one of them is still alive.
int idle(const Load& load, double hold) {
    Loop loop;
    Measurement measurement(load);
    RoundTrips connections(loop, load, measurement);
    const auto limit = Clock::now() + load.time_limit;
    if (!turn_until(loop, limit, [&] { return connections.established(); })) {
        measurement.errors.timeout += connections.outstanding();
        return finish("idle", load, measurement);
    }
    print({{"idle", load.connections - measurement.errors.total()}});
    InputEnd input(loop);
    turn_until(loop, Clock::now() + nanoseconds(hold), [&] { return input.ended(); });
    measurement.begin();
    connections.start();
    connections.stop();
    if (!turn_until(loop, Clock::now() + load.time_limit, [&] { return connections.finished(); })) {
        measurement.errors.timeout += connections.outstanding();
    }
    measurement.end();
    return finish("idle", load, measurement);
}

struct Arguments {
    std::uint16_t port = 0;
    double lifetime = 3600;
    double warm_up = 0.2;
    double duration = 1;
    double limit = 60;
    double hold = 60;
    std::string tls;
    Load load;
};

void add_load_options(CLI::App& command, Arguments& args) {
    command.add_option("-t,--target", args.port, "port of the proxy on 127.0.0.1")->required();
    command.add_option("-n,--connections", args.load.connections, "connections, slots or streams")
        ->check(CLI::Range(1, 20000));
    command.add_option("-s,--size", args.load.size, "bytes of a message")
        ->check(CLI::Range(sizeof(Header), max_piece));
    command.add_option("--sources", args.load.target.sources, "addresses to connect from in turn")
        ->check(CLI::Range(1, 200));
    command.add_option("--tls", args.tls, "file with the certificate of a server that speaks TLS");
    command.add_option("--limit", args.limit, "seconds for everything")
        ->check(CLI::Range(0.1, 600.0));
    command.add_option("--watch", args.load.watch, "processes whose CPU time to measure")
        ->delimiter(',');
}

void add_run_options(CLI::App& command, Arguments& args) {
    command.add_option("-d,--duration", args.duration, "seconds to measure")
        ->check(CLI::Range(0.01, 300.0));
    command.add_option("-w,--warm-up", args.warm_up, "seconds of load before")
        ->check(CLI::Range(0.0, 60.0));
    command.add_option("-o,--operations", args.load.operations, "stop after this many");
}

int run(int argc, char** argv) {
    CLI::App app{"Load generator and backend of the benchmark"};
    app.require_subcommand(1);
    Arguments args;
    auto* serving = app.add_subcommand("serve", "be the backend");
    serving->add_option("-p,--port", args.port, "0 = any");
    serving->add_option("--lifetime", args.lifetime, "seconds")->check(CLI::Range(1.0, 86400.0));
    auto* holding = app.add_subcommand("idle", "hold idle connections");
    add_load_options(*holding, args);
    holding->add_option("--hold", args.hold, "seconds at most")->check(CLI::Range(0.0, 600.0));
    for (const char* mode : {"roundtrip", "connect", "resume", "download", "upload"}) {
        auto* command = app.add_subcommand(mode);
        add_load_options(*command, args);
        add_run_options(*command, args);
    }
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 2;
    }
    args.load.target.address = loopback(args.port);
    args.load.warm_up = nanoseconds(args.warm_up);
    args.load.duration = nanoseconds(args.duration);
    args.load.time_limit = nanoseconds(args.limit);
    if (serving->parsed()) return serve(args.port, args.lifetime);
    std::optional<TlsClient> tls;
    if (!args.tls.empty()) args.load.tls = &tls.emplace(args.tls);
    if (holding->parsed()) return idle(args.load, args.hold);
    const std::string mode = app.get_subcommands().front()->get_name();
    args.load.resume = mode == "resume";
    return generate(mode, args.load);
}

}  // namespace
}  // namespace penstock::bench

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);
    penstock::bench::raise_descriptor_limit();
    try {
        return penstock::bench::run(argc, argv);
    } catch (const std::exception& error) {
        std::cerr << "penstock_loadgen: " << error.what() << '\n';
        return 1;
    }
}
