#pragma once

#include <string>
#include <vector>

namespace penstock::test {

/// One instruction of a Dockerfile, its continued lines joined.
struct DockerInstruction {
    std::string keyword;
    std::string text;
};

/// The instructions of a Dockerfile, stage by stage: each begins with FROM.
class Dockerfile {
public:
    explicit Dockerfile(const std::string& path);

    [[nodiscard]] const std::vector<std::vector<DockerInstruction>>& stages() const {
        return stages_;
    }
    /// Of the last stage, the one instruction with that keyword; throws without it, or with two.
    [[nodiscard]] std::string last(const std::string& keyword) const;
    /// The same as words of its JSON list, the form that needs no shell.
    [[nodiscard]] std::vector<std::string> last_words(const std::string& keyword) const;
    /// All of a keyword, in all stages.
    [[nodiscard]] std::vector<std::string> all(const std::string& keyword) const;

private:
    std::vector<std::vector<DockerInstruction>> stages_;
};

/// The words of a JSON list of strings.
[[nodiscard]] std::vector<std::string> json_words(const std::string& text);

}  // namespace penstock::test
