#!/usr/bin/env bash
# Makes one Redis the primary, and others its replicas:
#     REDISCLI_AUTH=... ./promote.sh 10.0.0.2 10.0.0.1 10.0.0.3
# The first one has to answer. Others that do not are named, and the exit status is 1: run it again,
# the same words, when they are back. A `failover` that is under way is waited for, HANDOVER_SECONDS
# (60) at most; where the primary among the others has not handed over, nothing is changed.
set -euo pipefail

[[ $# -ge 1 ]] || { echo "usage: $0 NEW-PRIMARY [REPLICA...]" >&2; exit 2; }
primary=$1
shift
port=${REDIS_PORT:-6379}

# -e: errors of Redis are errors of redis-cli.
ask() { timeout 5 redis-cli -e --no-auth-warning --user admin -h "$1" -p "$port" "${@:2}"; }

die() { echo "$*; nothing was changed" >&2; exit 1; }

# `failover` answers before it is done, and who becomes primary before it has everything loses the rest.
deadline=$((SECONDS + ${HANDOVER_SECONDS:-60}))
for other in "$@"; do
    while told=$(ask "$other" info replication 2>/dev/null) &&
        [[ $told == *master_failover_state:* && $told != *master_failover_state:no-failover* ]]; do
        ((SECONDS < deadline)) || die "$other: goes on handing over (\`failover abort\` ends that)"
        sleep 0.2
    done
    own=$(ask "$primary" role) || die "$primary: does not answer"
    [[ $told != *role:master* || $own == master* ]] ||
        die "$other: is still the primary: let it hand over (\`failover to $primary $port\`), or leave it out"
done

ask "$primary" replicaof no one >/dev/null
ask "$primary" config rewrite >/dev/null    # it stays so when it is restarted
echo "$primary: primary"

missed=0
for replica in "$@"; do
    if ask "$replica" replicaof "$primary" "$port" >/dev/null 2>&1; then
        ask "$replica" config rewrite >/dev/null
        echo "$replica: replica of $primary"
    else
        echo "$replica: does not answer" >&2
        missed=1
    fi
done
exit "$missed"
