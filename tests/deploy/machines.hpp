#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/deploy/example.hpp"
#include "tests/servers/server_process.hpp"
#include "tests/support/netns.hpp"

namespace penstock::test {

/// A network of its own, in which this machine is every machine of a recipe: the loopback has all
/// of their addresses, so that files with addresses and ports below 1024 are used word by word. For
/// the calling thread and for what it starts, until the end of the scope.
class Machines {
public:
    /// Single addresses, "10.0.0.20", or whole networks, "198.51.100.0/24". Connections to an
    /// address within "10.0.0.10/16" come from 10.0.0.10, others from the address they go to.
    explicit Machines(const std::vector<std::string>& addresses);

    [[nodiscard]] ScopedNetns& network() { return network_; }

private:
    ScopedNetns network_;
};

/// nginx on a file of a recipe, with these changes. `accepts_on` shows that it runs; its files of
/// /var/log/nginx and /run are in a folder of that IP address beside the recipe's.
[[nodiscard]] std::unique_ptr<ServerProcess> run_nginx(const Example& example,
                                                       const std::string& file,
                                                       const std::string& accepts_on,
                                                       Changes changes = {});

}  // namespace penstock::test
