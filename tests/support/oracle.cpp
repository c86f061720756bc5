#include "tests/support/oracle.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace penstock::test {

namespace {

std::string where(const ConnectionRecord& record, const char* receiver) {
    return "connection " + record.id.text() + " (client " + record.client_address + "), " +
           receiver + ": ";
}

bool ended_by_proxy(const ConnectionRecord& record) {
    return !record.expected_reason.empty() && record.expected_reason != "completed";
}

void judge_direction(Verdict& verdict, const ConnectionRecord& record, const SideRecord& sender,
                     const SideRecord& receiver, const char* name) {
    if (receiver.mismatch)
        verdict.blame("I2", where(record, name) + "wrong bytes at offset " +
                                std::to_string(receiver.mismatch->offset) + ": found " +
                                receiver.mismatch->found);
    if (receiver.received > sender.sent)
        verdict.blame("I2", where(record, name) + "received " + std::to_string(receiver.received) +
                                " bytes, only " + std::to_string(sender.sent) + " were sent");
    const bool clean =
        receiver.saw == End::fin && sender.saw == End::fin && sender.sent_fin && receiver.sent_fin;
    if (clean && receiver.received != sender.sent)
        verdict.blame("I2", where(record, name) + "received " + std::to_string(receiver.received) +
                                " of " + std::to_string(sender.sent) +
                                " bytes although both sides closed cleanly");
}

void judge_end(Verdict& verdict, const ConnectionRecord& record, const SideRecord& sender,
               const SideRecord& receiver, const char* name) {
    if (receiver.saw == End::fin && !record.proxy_may_finish) {
        if (!sender.sent_fin || sender.sent_reset)
            verdict.blame("I3", where(record, name) + "saw a FIN that the other side did not send");
        else if (receiver.received < sender.sent)
            verdict.blame("I3", where(record, name) + "saw a FIN after " +
                                    std::to_string(receiver.received) + " of " +
                                    std::to_string(sender.sent) + " bytes");
    }
    const bool caused = sender.sent_reset || receiver.sent_reset || ended_by_proxy(record);
    if (receiver.saw == End::reset && !caused)
        verdict.blame("I3", where(record, name) + "saw a reset without a cause");
    if (receiver.saw == End::failed)
        verdict.blame("I3", where(record, name) + "failed otherwise than by a reset");
}

void judge_bytes(Verdict& verdict, const ConnectionRecord& record, const LogLine& line) {
    const bool clean = line.reason == "completed";
    const auto check = [&](const char* name, std::uint64_t logged, std::uint64_t sent,
                           std::uint64_t received) {
        // The proxy counts what it handed to the kernel: between what arrived and what was sent.
        const bool exact = clean ? logged == received : logged >= received && logged <= sent;
        if (!exact)
            verdict.blame("I7", where(record, name) + "logged " + std::to_string(logged) +
                                    " bytes, sent " + std::to_string(sent) + ", received " +
                                    std::to_string(received));
    };
    check("bytes_to_backend", line.bytes_to_backend, record.client.sent, record.backend.received);
    check("bytes_to_client", line.bytes_to_client, record.backend.sent, record.client.received);
}

void judge_line(Verdict& verdict, const ConnectionRecord& record, const LogLine& line) {
    if (!record.expected_reason.empty() && line.reason != record.expected_reason)
        verdict.blame("I8", where(record, "log") + "reason " + line.reason + ", expected " +
                                record.expected_reason);
    judge_bytes(verdict, record, line);
}

}  // namespace

void Verdict::blame(const char* invariant, const std::string& what) {
    faults_.emplace_back(invariant, what);
}

void Verdict::add(const Verdict& other) {
    faults_.insert(faults_.end(), other.faults_.begin(), other.faults_.end());
}

bool Verdict::blames(std::string_view invariant) const {
    return std::ranges::any_of(faults_, [&](const auto& f) { return f.first == invariant; });
}

std::string Verdict::text() const {
    constexpr std::size_t shown = 20;
    std::string out;
    for (const auto& [invariant, what] : faults_) {
        out += invariant + ": " + what + "\n";
        if (&what == &faults_.back().second) break;
        if (static_cast<std::size_t>(std::ranges::count(out, '\n')) == shown) {
            out += "... " + std::to_string(faults_.size()) + " in all\n";
            break;
        }
    }
    return out;
}

Verdict judge_integrity(const Ledger& ledger) {
    Verdict verdict;
    for (const ConnectionRecord& record : ledger.records()) {
        judge_direction(verdict, record, record.client, record.backend, "backend");
        judge_direction(verdict, record, record.backend, record.client, "client");
        if (record.backend_connections > 1)
            verdict.blame("I2", where(record, "backend") + "payload was replayed on " +
                                    std::to_string(record.backend_connections) + " connections");
    }
    for (const std::string& stranger : ledger.strangers())
        verdict.blame("I2",
                      "a backend connection began with bytes that are no known id: " + stranger);
    return verdict;
}

Verdict judge_closes(const Ledger& ledger) {
    Verdict verdict;
    for (const ConnectionRecord& record : ledger.records()) {
        judge_end(verdict, record, record.client, record.backend, "backend");
        judge_end(verdict, record, record.backend, record.client, "client");
    }
    return verdict;
}

Verdict judge_lines(const std::vector<LogLine>& lines) {
    Verdict verdict;
    std::set<std::string> ids;
    for (const LogLine& line : lines) {
        if (!line.problem.empty()) verdict.blame("I8", line.problem + ": " + line.raw);
        if (line.event == "close" && !line.id.empty() && !ids.insert(line.id).second)
            verdict.blame("I8", "two close lines with id " + line.id);
    }
    return verdict;
}

std::string leg_of(const ConnectionRecord& record) {
    return record.client_address + " " + record.proxy_address;
}
std::string leg_of(const LogLine& line) { return line.client + " " + line.local; }

Verdict judge_log(const Ledger& ledger, const std::vector<LogLine>& lines) {
    Verdict verdict = judge_lines(lines);
    std::map<std::string, std::vector<const LogLine*>> lines_of;
    std::map<std::string, std::vector<ConnectionRecord>> records_of;
    for (const LogLine& line : lines)
        if (line.event == "close") lines_of[leg_of(line)].push_back(&line);
    std::size_t matched = 0;
    for (const ConnectionRecord& record : ledger.records()) {
        if (record.client_address.empty()) continue;  // never accepted
        // Unix peers have no address of their own: their number is all that can be compared.
        if (record.client_address == "unix:") {
            ++matched;
        } else {
            records_of[leg_of(record)].push_back(record);
        }
    }
    for (const auto& [leg, records] : records_of) {
        const auto& own = lines_of[leg];
        matched += own.size();
        if (own.size() != records.size())
            verdict.blame("I7", where(records[0], "log") + std::to_string(own.size()) +
                                    " close lines for " + std::to_string(records.size()));
        // A port that served twice: which line is whose cannot be told.
        if (own.size() != 1 || records.size() != 1) continue;
        judge_line(verdict, records[0], *own[0]);
    }
    const auto closes = std::ranges::count(lines, "close", &LogLine::event);
    if (matched != static_cast<std::size_t>(closes))
        verdict.blame("I7", std::to_string(closes) + " close lines, " + std::to_string(matched) +
                                " belong to known connections");
    return verdict;
}

}  // namespace penstock::test
