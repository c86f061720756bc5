#include "app/sandbox/access.hpp"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>
#include <unistd.h>

namespace penstock::app::sandbox {

namespace {

// What overrides the mode of a file for this need.
capabilities::Set overrides(const Need& need) {
    const auto any = capabilities::bit(capabilities::dac_override);
    return need.rights == read ? any | capabilities::bit(capabilities::dac_read_search) : any;
}

}  // namespace

bool is_met(const Need& need, const Disk& disk, const Can& can) {
    if (need.rights == read) return can(need.path, R_OK);
    if (need.rights == connect_to) return can(need.path, W_OK);
    if ((need.rights & write_files) != 0) {
        if (!can(need.path, W_OK)) return false;
        if (disk.is_special(need.path)) return true;
    }
    const auto real = disk.resolve(need.path);
    const auto slash = real.rfind('/');
    return can(slash == 0 ? std::string("/") : real.substr(0, slash), W_OK | X_OK);
}

std::vector<std::string> beyond_capabilities(std::span<const Need> needs,
                                             std::span<const Need> before, const Disk& disk,
                                             capabilities::Set dropped, const Can& can) {
    std::vector<std::string> sentences;
    for (const auto& need : needs) {
        if ((dropped & overrides(need)) == 0) continue;
        if (need.rights != read && std::ranges::find(before, need) != before.end()) continue;
        if (is_met(need, disk, can)) continue;
        const std::string_view doing = need.rights == read         ? "read what is"
                                       : need.rights == connect_to ? "connect to what is"
                                       : (need.rights & write_files) != 0
                                           ? "write to what is"
                                           : "make a socket in what is";
        sentences.push_back(fmt::format(
            "{} {}: the sandbox of this process does not let it {} another user's any more, since "
            "the configuration that it was started with had no need of that; restart it (an "
            "upgrade will do)",
            need.key, need.path, doing));
    }
    return sentences;
}

std::vector<std::string> beyond_groups(
    const config::Config& config, capabilities::Set dropped,
    const std::function<bool(const std::string& group)>& is_member) {
    std::vector<std::string> sentences;
    if ((dropped & capabilities::bit(capabilities::chown)) == 0) return sentences;
    for (const auto& listener : config.admin.listeners)
        if (!listener.socket_group.empty() && !is_member(listener.socket_group))
            sentences.push_back(fmt::format(
                "admin.listener.socket_group {}: the sandbox of this process does not let it give "
                "sockets away any more, since the configuration that it was started with had no "
                "need of that; restart it (an upgrade will do)",
                listener.socket_group));
    return sentences;
}

}  // namespace penstock::app::sandbox
