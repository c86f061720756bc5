#pragma once

#include <string>
#include <vector>

#include "tests/support/access_log.hpp"
#include "tests/support/ledger.hpp"

/// The judgement after every scenario: what must hold whatever fault was injected.
namespace penstock::test {

/// What was found wrong, each with the name of the broken invariant.
class Verdict {
public:
    void blame(const char* invariant, const std::string& what);
    void add(const Verdict& other);
    [[nodiscard]] bool clean() const { return faults_.empty(); }
    [[nodiscard]] bool blames(std::string_view invariant) const;
    [[nodiscard]] std::string text() const;

private:
    std::vector<std::pair<std::string, std::string>> faults_;
};

/// I2: what a side received is an exact prefix of what the other sent under that id, equal when
/// both ended cleanly; no id that nobody sent; no payload on two backends.
Verdict judge_integrity(const Ledger& ledger);

/// I3: a FIN only after a FIN and after all data; a reset only with a cause.
Verdict judge_closes(const Ledger& ledger);

/// I7 and I8: every line obeys the contract; exactly one close line per connection of the ledger,
/// with the expected reason and the ledger's byte counts; no line without a connection.
Verdict judge_log(const Ledger& ledger, const std::vector<LogLine>& lines);

/// What identifies a connection in ledger and log: both ends of the client's leg. A client's port
/// may serve again, towards another listener at any time and towards the same one after a while.
std::string leg_of(const ConnectionRecord& record);
std::string leg_of(const LogLine& line);

/// I8 alone, for scenarios without a ledger: every line obeys the contract, ids are unique.
Verdict judge_lines(const std::vector<LogLine>& lines);

}  // namespace penstock::test
