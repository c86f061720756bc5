#include "tests/support/config_text.hpp"

#include <gtest/gtest.h>

#include <cctype>

namespace penstock::test {

namespace {

std::string quoted(const std::string& text) { return "\"" + text + "\""; }

void append_service(std::string& out, const Service& service) {
    out += "\n[[listener]]\nname = " + quoted(service.name) + "\nbind = " + quoted(service.bind) +
           "\nupstream = " + quoted(service.routed ? service.name : "") + "\n" + service.listener +
           "\n";
    if (!service.timeouts.empty()) out += "[listener.timeouts]\n" + service.timeouts + "\n";
    if (!service.routed) return;
    out += "\n[[upstream]]\nname = " + quoted(service.name) +
           "\nbalance = " + quoted(service.balance) + "\n" + service.upstream + "\n";
    for (std::size_t i = 0; i < service.backends.size(); ++i) {
        const std::string& backend = service.backends[i];
        const bool lines = backend.find('=') != std::string::npos;
        out += "[[upstream.backend]]\nname = " + quoted(backend_name(i)) + "\n" +
               (lines ? backend : "address = " + quoted(backend)) + "\n";
    }
}

bool in_word(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '-' || c == '_';
}

// Whether a word goes on from one to the other.
bool is_inside(char left, char right) { return in_word(left) && in_word(right); }

bool is_whole(const std::string& text, std::size_t at, std::size_t length) {
    const std::size_t end = at + length;
    return (at == 0 || !is_inside(text[at - 1], text[at])) &&
           (end == text.size() || !is_inside(text[end - 1], text[end]));
}

}  // namespace

std::string changed(std::string text, const Changes& changes) {
    for (const auto& [from, to] : changes) {
        bool found = false;
        for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at)) {
            const bool whole = is_whole(text, at, from.size());
            if (whole) text.replace(at, from.size(), to);
            at += whole ? to.size() : 1;
            found |= whole;
        }
        if (!found) ADD_FAILURE() << "there is no '" << from << "' in:\n" << text;
    }
    return text;
}

std::string backend_name(std::size_t index) { return "b" + std::to_string(index); }

std::string ConfigText::toml() const {
    std::string out = "[process]\n" + process + "\ndrain = " + drain + "\n\n[log]\n" + log +
                      "\n\n[access_log]\n" + access_log + "\n";
    if (!admin.empty()) out += "\n" + admin + "\n";
    for (const Service& service : services) append_service(out, service);
    out += more;
    return out;
}

}  // namespace penstock::test
