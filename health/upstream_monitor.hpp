#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>

#include "balancer/snapshot.hpp"
#include "base/log.hpp"
#include "config/upstream.hpp"
#include "health/backend_factory.hpp"
#include "health/check_gate.hpp"
#include "health/data_plane.hpp"
#include "health/discovery/discovery.hpp"
#include "health/event_log.hpp"
#include "health/probe/probe.hpp"
#include "health/upstream_health.hpp"
#include "net/run_and_post.hpp"

namespace penstock::health {

/// What the monitors of all upstreams share; outlives them. `builder`: one thread, for what takes
/// longer than the control thread may.
struct MonitorShared {
    boost::asio::io_context& context;
    boost::asio::thread_pool& builder;
    CheckGate& gate;
    Logger& log;
    std::shared_ptr<DepartedBackends> departed = std::make_shared<DepartedBackends>();
    /// Told of every event, logged or not; set before any monitor starts, may stay empty.
    std::function<void(const std::string& upstream, const Event& event)> on_event{};
    /// Told when an upstream has other backends than before; as on_event.
    std::function<void(const std::string& upstream)> on_backends{};
};

/// Looks after the backends of one upstream: finds them, checks them, hears how connections went,
/// and tells the workers who may be chosen. Decides nothing itself (UpstreamHealth does); this is
/// the clock, the sockets and the log around it. Control thread.
class UpstreamMonitor {
public:
    struct Options {
        UpstreamHealth::Options roles;
        Discovery::Options discovery;
        std::size_t workers = 1;  // how many will count for each backend
        std::uint64_t hash_seed = 0;
        std::uint64_t seed = 0;
    };

    using Settings = std::shared_ptr<const config::Upstream>;

    /// `probe`: null if the upstream has no checks. Any thread, until start().
    UpstreamMonitor(const MonitorShared& shared, Settings settings, Options options,
                    std::unique_ptr<Probe> probe);
    ~UpstreamMonitor();
    UpstreamMonitor(const UpstreamMonitor&) = delete;
    UpstreamMonitor& operator=(const UpstreamMonitor&) = delete;

    /// What the workers start with, before start().
    [[nodiscard]] std::shared_ptr<const balancer::Snapshot> first() const { return snapshot(); }

    /// Who may be chosen, as the workers know it or will in a moment.
    [[nodiscard]] std::shared_ptr<const balancer::Snapshot> snapshot() const;
    /// Of its hash tables; 0 = its policy has none.
    [[nodiscard]] std::uint64_t hash_checksum() const noexcept { return set_->hash_checksum(); }

    /// Finds and checks backends from now on; nobody is told yet.
    void begin();
    /// begin(), if that has not been called; and tells `plane`, which must outlive stop().
    void start(DataPlane& plane);
    /// Ends all waiting, so that the io_context may run out of work.
    void stop();

    /// Until every backend has been found and checked for the first time, and the plane was told;
    /// at most one fast_interval, in which the first checks start, one time-out of a check, and
    /// longest_look_up where names have to be resolved before.
    [[nodiscard]] boost::asio::awaitable<void> first_verdicts();
    static constexpr Duration longest_look_up = std::chrono::seconds(5);

    // A change of the settings, in three steps, so that no client notices: first whoever is new is
    // found and checked, then one set is built of those who stay and those who are new, then it
    // counts. Meanwhile nobody who leaves leaves, and nobody new gets clients.

    /// Checks, verdicts and discovery go by these settings from now on. `options.workers` and the
    /// seeds stay. first_verdicts() tells when the next step makes sense.
    void begin_change(Settings settings, const Options& options, std::unique_ptr<Probe> probe);
    /// What the new set is to be built of, which any thread may do.
    struct SetPlan {
        Settings settings;
        std::vector<Placed> backends;
        std::uint64_t hash_seed = 0;
        [[nodiscard]] std::shared_ptr<const balancer::BackendSet> build() const {
            return make_backend_set(*settings, backends, hash_seed);
        }
    };
    [[nodiscard]] SetPlan plan_change();
    /// The set counts from now on, and this snapshot of it, which the caller gives to the workers.
    [[nodiscard]] std::shared_ptr<const balancer::Snapshot> finish_change(
        std::shared_ptr<const balancer::BackendSet> set);
    /// After that: sessions of those who have left end, everybody is told.
    void follow_change() { act(); }

    /// The upstream leaves the configuration: all of its backends leave, and it stops.
    void leave();
    /// After stop(): none of its coroutines is left. What it has posted may be.
    [[nodiscard]] bool idle() const noexcept { return running_ == 0 && !building_; }

    /// The outcomes of that backend's connections have to be looked at. It may have left.
    void on_alarm(const balancer::Backend* backend);
    /// The thread stood still for so long.
    void on_stall(Duration late, TimePoint now);
    /// Checks that start from now on use this one.
    void set_probe(std::unique_ptr<Probe> probe);

    /// What an operator has changed while running; stays until it is forgotten.
    struct Override {
        std::optional<config::BackendState> state{};
        std::optional<std::uint32_t> weight{};
        std::string by{};
        WallTime since{};
    };
    /// What `change` names counts from now on, on top of earlier ones. False if there is no such
    /// backend.
    bool override_backend(const std::string& name, const Override& change);
    /// The configuration counts again. False if nothing was overridden.
    bool reset_backend(const std::string& name);
    /// The configuration has changed these very values: they count again.
    struct Values {
        bool state = false;
        bool weight = false;
    };
    void forget_override(const std::string& name, Values which);
    /// As if override_backend() had been called before: overrides of an earlier process.
    void restore_overrides(std::map<std::string, Override> overrides);
    [[nodiscard]] const std::map<std::string, Override>& overrides() const noexcept {
        return overrides_;
    }
    /// Instead of finish_change(), at any time after begin_change(): as if that had never been
    /// called. `options`: of the settings of before; `overrides`: those of before, which come back
    /// where no operator has changed them meanwhile.
    void abandon_change(const Options& options, const std::map<std::string, Override>& overrides);

    struct Checks {
        std::uint64_t done = 0;
        std::uint64_t failed = 0;
    };
    [[nodiscard]] const Checks& checks() const noexcept { return checks_; }
    [[nodiscard]] const std::string& name() const noexcept { return settings_->name; }
    /// What checks go by.
    [[nodiscard]] const config::Upstream& settings() const noexcept { return *settings_; }
    [[nodiscard]] const EventLog& events() const noexcept { return events_; }
    [[nodiscard]] const UpstreamHealth& health() const noexcept { return health_; }
    [[nodiscard]] const Discovery& discovery() const noexcept { return discovery_; }
    /// The result of a check.
    struct CheckResult {
        bool ok = false;
        Duration took{};
        std::string error;  // "" if it is ok
        WallTime at{};
    };
    /// Each backend with what is known of it, in the order of the upstream.
    struct BackendStatus {
        std::shared_ptr<const balancer::Backend> backend;
        Discovered as;  // weight, tier and state of now
        MemberStatus health;
        std::optional<CheckResult> last_check;
    };
    [[nodiscard]] std::vector<BackendStatus> backends() const;

private:
    [[nodiscard]] static TimePoint now() noexcept { return SteadyClock().now(); }
    void follow_settings(const Options& options);
    /// A backend while it belongs to the upstream; its coroutine holds it beyond that.
    struct Watched {
        explicit Watched(boost::asio::io_context& context) : timer(context) {}
        Placed placed;
        Discovered found;  // as its source has it
        MemberId id = 0;
        Timer timer;
        std::optional<bool> told_up;  // what discovery knows
        std::optional<CheckResult> last;
        bool returned = false;  // its sessions of before may be ending
        bool checking = false;  // its coroutine runs
        bool joining = false;  // of a change that is not in force yet
        bool gone = false;
    };
    using WatchedPtr = std::shared_ptr<Watched>;

    enum class Arrival : std::uint8_t { first, fresh, joining };
    /// `joining`: it is checked, and counts for nothing until put() gives it its weight.
    WatchedPtr admit(const Discovered& found, Arrival arrival);
    /// The object of before, if this backend was here and has sessions yet; else null.
    [[nodiscard]] std::shared_ptr<balancer::Backend> find_departed(const Discovered& found) const;
    /// One of `among` that is this backend.
    [[nodiscard]] WatchedPtr find_same(const std::vector<WatchedPtr>& among,
                                       const Discovered& found) const;
    void follow(const std::vector<WatchedPtr>& next, const std::vector<Discovered>& found,
                TimePoint now);
    void watch_outcomes();
    /// `found` with what an operator has changed.
    [[nodiscard]] Discovered as_overridden(Discovered found) const;
    void put(Watched& watched, const Discovered& found, TimePoint now);
    [[nodiscard]] WatchedPtr find(const std::string& name) const;
    void report(const Event& event) const;
    void watch(const WatchedPtr& watched);
    boost::asio::awaitable<void> check_again_and_again(WatchedPtr watched);
    boost::asio::awaitable<void> check_once(WatchedPtr watched);
    boost::asio::awaitable<void> read_outcomes();
    void hear(Watched& watched, TimePoint now);
    void on_found(const std::vector<Discovered>& found);
    void on_source(const SourceStatus& source);
    void retire(const WatchedPtr& watched, TimePoint now);

    /// Does what UpstreamHealth wants done.
    void act();
    void apply(const Actions& actions, TimePoint now);
    void arm_timer();
    void publish_soon();
    void publish();
    void rebuild_set();
    using SetPtr = std::shared_ptr<const balancer::BackendSet>;
    void on_set_built(std::uint32_t version, net::Made<SetPtr> set);
    void use(std::shared_ptr<const balancer::BackendSet> set);
    [[nodiscard]] std::vector<Placed> placed() const;
    void note_result(Watched& watched, const ProbeResult& result, Duration took);
    [[nodiscard]] ProbeTarget target_of(const Placed& placed) const;

    const MonitorShared& shared_;
    Settings settings_;
    std::size_t workers_;
    std::uint64_t hash_seed_;
    std::shared_ptr<Probe> probe_;  // a check that runs keeps its own
    UpstreamHealth health_;
    Discovery discovery_;
    EventLog events_;
    DataPlane* plane_ = nullptr;
    std::vector<WatchedPtr> watched_;
    std::map<std::string, Override> overrides_;  // by the backend's name
    std::shared_ptr<const balancer::BackendSet> set_;
    Timer timer_;  // UpstreamHealth's
    Timer outcomes_;
    Timer verdicts_;  // first_verdicts() waits on it
    TimePoint armed_ = no_deadline;
    Checks checks_;
    bool begun_ = false;
    TimePoint awaited_since_{};  // begin(), begin_change(): first_verdicts() counts from there
    bool loaded_ = false;  // whatever comes now is new
    std::size_t running_ = 0;  // coroutines
    bool reading_outcomes_ = false;
    bool changing_ = false;  // between begin_change() and finish_change()
    Settings former_settings_;  // while it changes
    std::shared_ptr<Probe> former_probe_;
    std::vector<WatchedPtr> next_;  // plan_change(): who will be there
    std::vector<Discovered> planned_;  // as their sources have them
    std::uint32_t set_version_ = 0;  // one that is built for an older one is dropped
    bool publishing_ = false;
    bool building_ = false;
    bool rebuild_ = false;
    bool stopped_ = false;
};

}  // namespace penstock::health
