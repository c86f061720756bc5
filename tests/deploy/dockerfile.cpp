#include "tests/deploy/dockerfile.hpp"

#include <fstream>
#include <stdexcept>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

namespace penstock::test {

Dockerfile::Dockerfile(const std::string& path) {
    std::ifstream file(path);
    std::string joined;
    for (std::string line; std::getline(file, line);) {
        if (line.empty() || line.starts_with('#')) continue;
        const bool goes_on = line.ends_with('\\');
        joined += goes_on ? line.substr(0, line.size() - 1) : line;
        if (goes_on) continue;
        const auto blank = joined.find(' ');
        const auto text = joined.find_first_not_of(' ', blank);
        DockerInstruction one{joined.substr(0, blank), joined.substr(text)};
        if (one.keyword == "FROM") stages_.emplace_back();
        if (stages_.empty()) throw std::runtime_error(path + " does not begin with FROM");
        stages_.back().push_back(std::move(one));
        joined.clear();
    }
    if (stages_.empty()) throw std::runtime_error("nothing in " + path);
}

std::string Dockerfile::last(const std::string& keyword) const {
    const std::string* found = nullptr;
    for (const auto& one : stages_.back()) {
        if (one.keyword != keyword) continue;
        if (found != nullptr) throw std::runtime_error("more than one " + keyword);
        found = &one.text;
    }
    if (found == nullptr) throw std::runtime_error("no " + keyword);
    return *found;
}

std::vector<std::string> Dockerfile::last_words(const std::string& keyword) const {
    return json_words(last(keyword));
}

std::vector<std::string> Dockerfile::all(const std::string& keyword) const {
    std::vector<std::string> found;
    for (const auto& stage : stages_)
        for (const auto& one : stage)
            if (one.keyword == keyword) found.push_back(one.text);
    return found;
}

std::vector<std::string> json_words(const std::string& text) {
    std::vector<std::string> words;
    const auto list = boost::json::parse(text);
    for (const auto& word : list.as_array()) words.emplace_back(word.as_string());
    return words;
}

}  // namespace penstock::test
