#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "app/sandbox/capabilities.hpp"
#include "app/sandbox/rules.hpp"
#include "config/config.hpp"

/// What needs demand of the owners and modes of files, which capabilities override. Pure.
namespace penstock::app::sandbox {

/// Whether somebody could do this; a mode of access(2). True of what does not exist.
using Can = std::function<bool(const std::string& path, int mode)>;

/// Whether what this need is for could be done: reading the file, or writing it and making another
/// one in its directory, or a socket there.
[[nodiscard]] bool is_met(const Need& need, const Disk& disk, const Can& can);

/// A sentence for each need that a process which has given up `dropped` can meet no more.
/// `before`: those of its start, whose files it goes on with.
[[nodiscard]] std::vector<std::string> beyond_capabilities(std::span<const Need> needs,
                                                           std::span<const Need> before,
                                                           const Disk& disk,
                                                           capabilities::Set dropped,
                                                           const Can& can);

/// A sentence for each group that sockets cannot be given to without `dropped`. `is_member`:
/// whether the process is, or there is no such group, which others tell.
[[nodiscard]] std::vector<std::string> beyond_groups(
    const config::Config& config, capabilities::Set dropped,
    const std::function<bool(const std::string& group)>& is_member);

}  // namespace penstock::app::sandbox
