#include "app/sandbox/seccomp.hpp"

#include <array>
#include <cerrno>
#include <memory>
#include <system_error>

#include <fmt/format.h>
#include <seccomp.h>

#include "app/sandbox/system_calls.hpp"

namespace penstock::app::sandbox::seccomp {

namespace {

using Filter = std::unique_ptr<void, decltype(&::seccomp_release)>;

// libseccomp returns a negative errno.
std::unexpected<std::string> failure(const char* doing, int result) {
    return std::unexpected(
        fmt::format("{}: {}", doing, std::error_code(-result, std::generic_category()).message()));
}

// What this architecture does not have counts as done.
int add(scmp_filter_ctx filter, std::uint32_t action, const char* name) {
    const int number = ::seccomp_syscall_resolve_name(name);
    if (number == __NR_SCMP_ERROR || number < 0) return 0;
    return ::seccomp_rule_add(filter, action, number, 0);
}

int add(scmp_filter_ctx filter, const CheckedCall& call) {
    const int number = ::seccomp_syscall_resolve_name(call.name);
    if (number == __NR_SCMP_ERROR || number < 0) return 0;
    const std::array<scmp_arg_cmp, 2> arguments{
        {{call.argument, SCMP_CMP_MASKED_EQ, call.mask, call.value},
         {call.other.index, SCMP_CMP_MASKED_EQ, call.other.mask, call.other.value}}};
    return ::seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number, call.other.mask == 0 ? 1 : 2,
                                    arguments.data());
}

int add_rules(scmp_filter_ctx filter) {
    int result = 0;
    for (const char* name : free_calls())
        if (result == 0) result = add(filter, SCMP_ACT_ALLOW, name);
    for (const auto& call : checked_calls())
        if (result == 0) result = add(filter, call);
    for (const char* name : unknown_calls())  // another filter's business
        if (result == 0) result = add(filter, SCMP_ACT_ALLOW, name);
    return result;
}

int add_unknown(scmp_filter_ctx filter) {
    int result = 0;
    for (const char* name : unknown_calls())
        if (result == 0) result = add(filter, SCMP_ACT_ERRNO(ENOSYS), name);
    return result;
}

std::expected<void, std::string> load(std::uint32_t otherwise, int (*rules)(scmp_filter_ctx),
                                      bool logged) {
    const Filter filter(::seccomp_init(otherwise), &::seccomp_release);
    if (!filter) return std::unexpected("cannot make a filter");
    if (const int result = ::seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1); result != 0)
        return failure("cannot filter all threads", result);
    // None of these is known to every kernel that has filters.
    if (logged) ::seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_LOG, 1);
    ::seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
    // Kernels before 5.16 slow down whoever has a filter, against code that others bring along:
    // there is none here.
    ::seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_SSB, 1);
    if (const int result = rules(filter.get()); result != 0)
        return failure("cannot make a filter", result);
    if (const int result = ::seccomp_load(filter.get()); result != 0)
        return failure("the kernel, or what this process runs in, does not allow it", result);
    return {};
}

}  // namespace

std::expected<void, std::string> enter(Refusal refusal) {
    // A filter of its own for what is refused all the time: it is not worth a line in the log.
    if (auto done = load(SCMP_ACT_ALLOW, add_unknown, false); !done) return done;
    return load(refusal == Refusal::kill ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ERRNO(EPERM), add_rules,
                true);
}

}  // namespace penstock::app::sandbox::seccomp
