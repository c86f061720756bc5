#include "app/version.hpp"

#include <utility>

#include <boost/version.hpp>
#include <fmt/format.h>
#include <openssl/crypto.h>
#include <spdlog/version.h>

#include "health/probe/make_probe.hpp"

namespace penstock::app {

namespace {

constexpr std::string_view build_kind() noexcept {
#if defined(__SANITIZE_ADDRESS__)
    return "address sanitizer";
#elif defined(__SANITIZE_THREAD__)
    return "thread sanitizer";
#elif defined(NDEBUG)
    return "release";
#else
    return "debug";
#endif
}

// Some depend on what the build found.
std::string checks() {
    using config::CheckType;
    std::string text = "tcp, tls, http, exchange";
    for (const auto& [type, name] :
         {std::pair{CheckType::redis, ", redis"}, std::pair{CheckType::postgres, ", postgres"},
          std::pair{CheckType::mysql, ", mysql"}})
        if (health::is_built(type)) text += name;
    return text;
}

}  // namespace

std::string compiler() {
#if defined(__clang__)
    return "clang " __clang_version__;
#else
    return "g++ " __VERSION__;
#endif
}

std::string_view version() noexcept { return PENSTOCK_VERSION; }

std::string version_report() {
    return fmt::format(
        "penstock {}\n"
        "compiler  {} ({})\n"
        "libraries Boost {}.{}.{}, {}, fmt {}.{}.{}, spdlog {}.{}.{}\n"
        "features  edge-triggered epoll, splice, SO_REUSEPORT workers\n"
        "checks    {}\n",
        version(), compiler(), build_kind(), BOOST_VERSION / 100000, BOOST_VERSION / 100 % 1000,
        BOOST_VERSION % 100, OpenSSL_version(OPENSSL_VERSION), FMT_VERSION / 10000,
        FMT_VERSION / 100 % 100, FMT_VERSION % 100, SPDLOG_VER_MAJOR, SPDLOG_VER_MINOR,
        SPDLOG_VER_PATCH, checks());
}

}  // namespace penstock::app
