#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.hpp"

/// The requests of the commands; which path and which body each is.
namespace penstock::app::client {

struct Request {
    bool post = false;
    std::string target;
    std::string body{};  // JSON, unless `type` says otherwise
    std::string_view type = "application/json";
    /// What is asked for may take this long; what is shorter than the client's patience has no
    /// effect.
    Duration patience{};

    friend bool operator==(const Request&, const Request&) = default;
};

/// What may not stand in a part of a path or query becomes %XX.
[[nodiscard]] std::string percent_encoded(std::string_view text);

/// Appends the given parameters that are not empty: `/sessions?upstream=web&limit=5`.
[[nodiscard]] std::string with_query(
    std::string target, const std::vector<std::pair<std::string_view, std::string>>& parameters);

struct BackendName {
    std::string upstream;
    std::string backend;
    friend bool operator==(const BackendName&, const BackendName&) = default;
};
/// `U/B`, split at the first slash. The error is a sentence for the user.
[[nodiscard]] std::expected<BackendName, std::string> parse_backend_name(std::string_view text);

/// `v1=95`, one or more. The error is a sentence for the user.
using SplitWeights = std::vector<std::pair<std::string, std::uint64_t>>;
[[nodiscard]] std::expected<SplitWeights, std::string> parse_split(
    const std::vector<std::string>& words);

/// How many sessions are closed, and how fast; what is not given the proxy decides.
struct CloseOptions {
    std::string over{};
    std::optional<double> share{};
    bool dry_run = false;
};

[[nodiscard]] Request kill_session(std::string_view id);
[[nodiscard]] Request kill_backend(const BackendName& name, const CloseOptions& options);
[[nodiscard]] Request rebalance(std::string_view upstream, const CloseOptions& options);
[[nodiscard]] Request set_state(const BackendName& name, std::string_view state);
[[nodiscard]] Request set_weight(const BackendName& name, std::uint64_t weight);
[[nodiscard]] Request reset_backend(const BackendName& name);
/// `verb` is drain or undrain; an empty listener means the process.
[[nodiscard]] Request drain(std::string_view verb, std::string_view listener);
[[nodiscard]] Request pause(std::string_view upstream, std::string_view max);
[[nodiscard]] Request resume(std::string_view upstream);
[[nodiscard]] Request split(std::string_view listener, const SplitWeights& weights);

/// A configuration that is not the proxy's own file.
struct ConfigurationText {
    std::string file{};  // absolute path; "" = to be read as if it were the proxy's own file
    std::string text{};
};
/// About `configuration`, or the file on disk that a reload would read.
[[nodiscard]] Request plan(const std::optional<ConfigurationText>& configuration);
/// `digest`: "" = any.
[[nodiscard]] Request reload(std::string_view digest);
[[nodiscard]] Request upgrade();

}  // namespace penstock::app::client
