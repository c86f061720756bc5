#include "net/tls/names.hpp"

#include <algorithm>

namespace penstock::net::tls {

std::string canonical_name(std::string_view name) {
    if (name.ends_with('.')) name.remove_suffix(1);
    std::string lower(name);
    std::ranges::transform(lower, lower.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    return lower;
}

bool name_matches(std::string_view pattern, std::string_view name) noexcept {
    if (pattern == name) return true;
    const auto dot = name.find('.');
    return pattern.starts_with("*.") && dot != std::string_view::npos && dot > 0 &&
           pattern.substr(1) == name.substr(dot);
}

void NameIndex::add(std::string_view name, std::uint32_t certificate) {
    const std::string key = canonical_name(name);
    Group& group = key.starts_with("*.") ? wildcard_[key.substr(2)] : exact_[key];
    if (std::ranges::find(group, certificate) == group.end()) group.push_back(certificate);
}

bool NameIndex::covers(std::string_view name) const {
    const std::string key = canonical_name(name);
    if (exact_.contains(key)) return true;
    for (auto dot = key.find('.'); dot != std::string::npos; dot = key.find('.', dot + 1))
        if (dot != 0 && wildcard_.contains(key.substr(dot + 1))) return true;
    return false;
}

const NameIndex::Group* NameIndex::find(std::string_view name) const {
    const std::string key = canonical_name(name);
    if (const auto found = exact_.find(key); found != exact_.end()) return &found->second;
    const auto dot = key.find('.');
    if (dot == std::string::npos || dot == 0) return nullptr;
    const auto found = wildcard_.find(key.substr(dot + 1));
    return found == wildcard_.end() ? nullptr : &found->second;
}

}  // namespace penstock::net::tls
