#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/config_text.hpp"
#include "tests/support/proxy_process.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::test {

/// A recipe: a folder of deploy/examples, copied into a private directory. Its files are used as
/// they stand there, but for what a test names as changed: addresses, ports, paths.
class Example {
public:
    explicit Example(const std::string& name);

    /// The copy, for what the README tells the reader to put beside the files.
    [[nodiscard]] const TempDir& directory() const { return directory_; }
    [[nodiscard]] std::string path(const std::string& file) const { return directory_.path(file); }

    /// One of its files, with these changes.
    [[nodiscard]] std::string text(const std::string& file, const Changes& changes = {}) const;
    /// A file beside them that its owner alone may read; its path.
    std::string write_secret(const std::string& file, const std::string& text) const;
    /// Puts a file with these changes in the place of the copy, and returns its path.
    std::string change(const std::string& file, const Changes& changes) const;

    /// Fails the test unless `penstock check --strict` has nothing to say about the configuration
    /// as it stands there.
    void expect_strict() const;

    /// Runs the proxy on penstock.toml with these changes. A log in /var/log/penstock and a socket
    /// in /run/penstock are in the private directory instead.
    [[nodiscard]] std::unique_ptr<ProxyProcess> run(const Changes& changes,
                                                    ProxyOptions options = {}) const;
    /// penstock.toml as run() uses it, for ProxyProcess::rewrite().
    [[nodiscard]] std::string toml(const Changes& changes) const;

    /// A variable for the commands below.
    void set(const std::string& name, const std::string& value) { environment_[name] = value; }
    /// Carries out a command of the README, in the private directory, with these changes: what it
    /// prints. `penstock` is the program under test, and finds the proxy of run(). Fails the test
    /// when the README has no such line, or when the command fails.
    std::string follow(const std::string& command, const Changes& changes = {}) const;
    /// Fails the test unless this stands in the README, word by word.
    void expect_told(const std::string& text) const;

private:
    std::string name_;
    TempDir directory_;
    std::map<std::string, std::string> environment_;
};

}  // namespace penstock::test
