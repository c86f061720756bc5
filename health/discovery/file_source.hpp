#pragma once

#include <expected>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "config/backend_file.hpp"
#include "config/upstream.hpp"
#include "health/discovery/discovered_set.hpp"
#include "health/discovery/name_source.hpp"
#include "health/discovery/source.hpp"
#include "net/file_watch.hpp"

namespace penstock::health {

/// The backends that a file lists. It is watched; a file that is wrong changes nothing. Read for
/// the first time when the object is made, and by a thread of its own afterwards. Names of hosts in
/// it are looked up like any. Control thread.
class FileSource final : public Source {
public:
    FileSource(const SourceShared& shared, const config::BackendDefaults& defaults,
               config::Discovery settings);

    void start() override;
    void stop() override;
    [[nodiscard]] std::vector<Discovered> list() const override;
    [[nodiscard]] bool settled() const override;
    void on_check(std::string_view name, bool up) override;
    void add_status(std::vector<SourceStatus>& to) const override;

private:
    using Read =
        std::expected<std::vector<config::FileBackend>, std::vector<config::BackendFileError>>;

    void read_again();
    void on_read_again(Read read);
    void on_read(Read read);
    void follow_hosts(const std::vector<config::FileBackend>& backends);
    [[nodiscard]] Discovered backend_of(const config::FileBackend& from) const;
    void arm();

    const SourceShared& shared_;
    config::BackendDefaults defaults_;
    config::Discovery settings_;
    DiscoveredSet set_;
    std::map<std::string, std::unique_ptr<NameSource>> hosts_;  // by their line
    SourceStatus status_;
    net::FileWatch watch_;
    Timer timer_;
    bool reading_ = false;
    bool read_again_ = false;
    bool started_ = false;
    bool stopped_ = false;
    // Owns nothing: it tells what has been read that this object is gone. The thread that reads may
    // have a lot to do before, and this object does not wait for it.
    std::shared_ptr<FileSource> self_{this, [](FileSource*) {}};
};

}  // namespace penstock::health
