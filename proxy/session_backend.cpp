// What a session holds of its upstream and its backend, and what the breaker learns of it.
#include <utility>

#include "proxy/session.hpp"
#include "proxy/worker.hpp"

namespace penstock::proxy {

void Session::keep_upstream_slot(balancer::Permit slot) noexcept { slots_.upstream = slot.keep(); }

void Session::release_upstream_slot() noexcept {
    if (!slots_.upstream) return;
    slots_.upstream = false;
    upstream().shared->connections.give_back();
    worker_.call_waiting(upstream());
}

void Session::take_backend(balancer::Backend& backend, balancer::Permit slot,
                           balancer::CircuitPass pass) noexcept {
    backend_ = &backend;
    pass_ = pass;
    judged_ = false;
    slots_.backend = slot.keep();
    backend_->session_started();
}

void Session::drop_backend(const AttemptResult& result, Duration took) {
    result.is_ours ? judge_nothing() : judge_attempt(result.error);
    extras().failed_attempts.push_back(
        {backend_->shared_from_this(), result.error, microseconds(took)});
    if (secured_) extras_->front->backend.reset();
    backend_socket_.close();
    release_source_place();
    backend_->session_ended();
    if (slots_.backend) backend_->slots().give_back();
    slots_.backend = false;
    backend_ = nullptr;
    worker_.call_waiting(upstream());
}

void Session::release_source_place() noexcept {
    if (upstream_) upstream_->sources.release(source_place_);
}

// The order matters: who sees a slot of the upstream or the backend taken waits in its line, and is
// called after all of them are free.
void Session::give_slots_back() noexcept {
    if (backend_ != nullptr) {
        judge_nothing();
        backend_->session_ended();
        if (slots_.backend) backend_->slots().give_back();
    }
    if (slots_.upstream) upstream().shared->connections.give_back();
    if (slots_.backend || slots_.upstream) worker_.call_waiting(upstream());
    if (source_ != balancer::SourcePermit::none)
        listener_->shared->gate.leave(std::exchange(source_, balancer::SourcePermit::none));
    if (slots_.listener) listener_->account().connections.give_back();
    if (slots_.process) worker_.shared().connections.give_back();
    slots_ = {};
}

// What the breaker of the backend makes of this connection; once.
void Session::judge_success() noexcept {
    if (std::exchange(judged_, true)) return;
    if (backend_->outcomes().succeeded(pass_)) worker_.raise_alarm(upstream(), *backend_);
}

void Session::judge_failure(balancer::Failure how) noexcept {
    if (std::exchange(judged_, true)) return;
    worker_.report_backend_failure(upstream(), *backend_, pass_, how);
}

void Session::judge_attempt(AttemptError error) noexcept {
    const auto failure =
        failure_of(error, upstream().settings().circuit_breaker.early_reset_counts);
    if (!failure) return judge_nothing();
    judge_failure(*failure);
}

// Before its first byte; afterwards it was judged already.
void Session::judge_lost_backend(CloseReason reason) noexcept {
    judge_attempt(reason == CloseReason::backend_lost ? AttemptError::timeout
                                                      : AttemptError::reset);
}

// It ended, or never was, for reasons that are not the backend's.
void Session::judge_nothing() noexcept {
    if (std::exchange(judged_, true)) return;
    backend_->circuit().give_back(pass_);
    if (pass_.trial) worker_.call_waiting(upstream());
}

}  // namespace penstock::proxy
