#include "tests/deploy/example.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace penstock::test {

namespace {

std::string read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error("cannot read " + path);
    return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

Example::Example(const std::string& name) : name_(name) {
    const auto recipe = std::filesystem::path(PENSTOCK_DEPLOY) / "examples" / name;
    std::filesystem::copy(recipe, directory_.path(), std::filesystem::copy_options::recursive);
}

std::string Example::text(const std::string& file, const Changes& changes) const {
    return changed(read(path(file)), changes);
}

std::string Example::change(const std::string& file, const Changes& changes) const {
    const std::string now = text(file, changes);
    std::ofstream(path(file), std::ios::binary) << now;  // keeps its permissions
    return path(file);
}

std::string Example::write_secret(const std::string& file, const std::string& text) const {
    const std::string result = directory_.write(file, "");
    std::filesystem::permissions(result, std::filesystem::perms(0600));
    std::ofstream(result) << text;
    return result;
}

void Example::expect_strict() const {
    const Finished check = run_penstock({"check", "--strict", "-c", path("penstock.toml")});
    EXPECT_EQ(check.exit_status, 0) << name_ << ":\n" << check.output << check.errors;
    EXPECT_EQ(check.errors, "") << name_;
}

std::string Example::toml(const Changes& changes) const {
    std::string result = text("penstock.toml", changes);
    for (const char* place : {"/var/log/penstock", "/run/penstock"})
        if (result.find(place) != std::string::npos) result = changed(result, {{place, "@DIR@"}});
    return result;
}

std::unique_ptr<ProxyProcess> Example::run(const Changes& changes, ProxyOptions options) const {
    options.directory = directory_.path();
    return std::make_unique<ProxyProcess>(toml(changes), std::move(options));
}

std::string Example::follow(const std::string& command, const Changes& changes) const {
    expect_told(command);
    const char* path_now = std::getenv("PATH");
    const std::string programs = std::filesystem::path(penstock_binary()).parent_path().string();
    SpawnOptions spawn;
    spawn.environment = environment_;
    spawn.environment["PATH"] = programs + ":" + (path_now ? path_now : "/usr/bin:/bin");
    spawn.environment["RUNTIME_DIRECTORY"] = directory_.path().string();
    ChildProcess shell({"env", "--chdir=" + directory_.path().string(), "bash", "-o", "pipefail",
                        "-euc", changed(command, changes)},
                       spawn);
    const auto status = shell.wait_exit(60s);
    const std::string output = shell.output();
    EXPECT_TRUE(status && *status == 0) << command << "\n" << output << shell.errors();
    return output;
}

void Example::expect_told(const std::string& text) const {
    EXPECT_NE(read(path("README.md")).find(text), std::string::npos)
        << "deploy/examples/" << name_ << "/README.md does not say: " << text;
}

}  // namespace penstock::test
