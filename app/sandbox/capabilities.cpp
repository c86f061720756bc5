#include "app/sandbox/capabilities.hpp"

#include <array>
#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace penstock::app::sandbox::capabilities {

namespace {

constexpr unsigned set_bits = 32;  // of one of the two words that the kernel speaks in

constexpr std::array<std::pair<unsigned, const char*>, 4> known{
    {{net_bind_service, "net_bind_service"},
     {chown, "chown"},
     {dac_override, "dac_override"},
     {dac_read_search, "dac_read_search"}}};

struct Words {
    std::array<__user_cap_data_struct, 2> data{};
};

Words get() noexcept {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    Words words;
    ::syscall(SYS_capget, &header, words.data.data());
    return words;
}

int put(const Words& words) noexcept {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    return ::syscall(SYS_capset, &header, words.data.data()) == 0 ? 0 : errno;
}

std::uint32_t word(Set set, unsigned index) noexcept {
    return static_cast<std::uint32_t>(set >> (index * set_bits));
}

int bound_to(Set kept) noexcept {
    for (unsigned capability = 0; capability < 2 * set_bits; ++capability) {
        if ((kept & bit(capability)) != 0) continue;
        if (::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) != 1) continue;
        if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) return errno;
    }
    return 0;
}

}  // namespace

Set to_keep(const Situation& of) noexcept {
    Set kept = bit(net_bind_service);  // any reload may bring such a port
    if (of.gives_sockets_away) kept |= bit(chown);
    if (of.reads_others_files) kept |= bit(dac_read_search);
    if (of.writes_others_files) kept |= bit(dac_override);
    return kept & of.effective;
}

std::string names_of(Set set) {
    std::string text;
    for (const auto& [capability, name] : known)
        if ((set & bit(capability)) != 0) text += (text.empty() ? "" : " ") + std::string(name);
    return text.empty() ? "none" : text;
}

Set effective() noexcept {
    const auto words = get();
    return words.data[0].effective | Set{words.data[1].effective} << set_bits;
}

bool can(const std::string& path, int mode) noexcept {
    return ::faccessat(AT_FDCWD, path.c_str(), mode, AT_EACCESS) == 0 || errno != EACCES;
}

bool can_without(const std::string& path, int mode) noexcept {
    const Words before = get();
    Words without = before;
    for (auto& data : without.data) data.effective = 0;
    if (put(without) != 0) return true;
    const bool could = can(path, mode);
    put(before);
    return could;
}

void pass_on(unsigned capability) noexcept {
    Words words = get();
    auto& data = words.data[capability / set_bits];
    const std::uint32_t bits = word(bit(capability), capability / set_bits);
    if ((data.permitted & bits) == 0) return;
    data.inheritable |= bits;
    if (put(words) == 0) ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0);
}

int drop_bounding_set() noexcept { return bound_to(0); }

int drop_all_but(Set kept) noexcept {
    // First, as long as there is the capability for it.
    static_cast<void>(bound_to(kept));
    ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    Words words = get();
    std::uint32_t changed = 0;
    for (unsigned i = 0; i < words.data.size(); ++i) {
        auto& data = words.data[i];
        changed |= (data.effective | data.permitted | data.inheritable) & ~word(kept, i);
        data.effective &= word(kept, i);
        data.permitted &= word(kept, i);
        data.inheritable &= word(kept, i);
    }
    // A service manager that has dropped them may forbid the call.
    return changed == 0 ? 0 : put(words);
}

}  // namespace penstock::app::sandbox::capabilities
