#pragma once

#include <string>
#include <vector>

namespace penstock::test {

/// What curl prints; throws std::runtime_error when it fails. Proxies and files of the user's
/// environment are not looked at.
std::string curl(std::vector<std::string> arguments);

}  // namespace penstock::test
