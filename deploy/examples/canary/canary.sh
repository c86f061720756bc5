#!/usr/bin/env bash
# canary.sh LISTENER OLD NEW: shifts the clients of a split from upstream OLD to NEW in steps, and takes
# everything back as soon as NEW fails more of them than OLD does, or when this script is interrupted.
# Ends with status 0 when all clients are with NEW, with 1 when they are back with OLD, with 3 when they
# could not be taken back: then that is for you to do.
set -euo pipefail
export LC_ALL=C

steps=${STEPS:-5 25 50 100}         # per cent for NEW
step_seconds=${STEP_SECONDS:-300}   # how long each step lasts at least ...
min_sessions=${MIN_SESSIONS:-100}   # ... and until so many connections to NEW have ended in it
max_worse=${MAX_WORSE:-0.01}        # share of failed connections that NEW may have above OLD's
min_failures=${MIN_FAILURES:-5}     # fewer failures in a step than these say nothing
socket=${RUNTIME_DIRECTORY:-/run/penstock}/admin.sock

(($# == 3)) || { sed -n '2,5s/^# *//p' "$0" >&2; exit 2; }
listener=$1 old=$2 new=$3

shift_to() { penstock split "$listener" "$old=$((100 - $1))" "$new=$1"; }

# Whatever ends this before its time: the clients are with OLD then.
why='the script failed'
take_back() {
    trap '' INT TERM HUP
    if shift_to 0; then
        echo "back with $old: $why"
        exit 1
    fi
    echo "NOT back with $old: $why, and the split could not be set; do: penstock split $listener $old=100 $new=0" >&2
    exit 3
}
trap take_back EXIT
trap 'why="the script was interrupted"; exit 1' INT TERM HUP
back() {
    why=$*
    exit 1
}

# Connections that have ended and failed since the proxy's start, of OLD and of NEW, and how many
# backends of NEW are up. Failed are those whose class is `backend`: refused, timed out, reset, ...
figures() {
    curl --silent --show-error --fail --max-time 5 --unix-socket "$socket" http://localhost/metrics |
        awk -v listener="$listener" -v old="$old" -v new="$new" '
            function label(name) {
                if (!match($0, "[{,]" name "=\"[^\"]*\"")) return ""
                return substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 4)
            }
            /^penstock_sessions_closed_total\{/ && label("listener") == listener {
                ended[label("upstream")] += $NF
                if (label("class") == "backend") failed[label("upstream")] += $NF
            }
            /^penstock_backend_up\{/ { up[label("upstream")] += $NF }
            END { print ended[old] + 0, failed[old] + 0, ended[new] + 0, failed[new] + 0, up[new] + 0 }'
}

# The share of those that failed; "worse" when NEW's is too much above OLD's.
judge() {
    awk -v of="$1" -v oe="$2" -v nf="$3" -v ne="$4" -v worse="$max_worse" -v least="$min_failures" '
        BEGIN {
            old = oe ? of / oe : 0; new = ne ? nf / ne : 0
            verdict = nf >= least && new > old + worse ? "worse" : "well"
            printf "%s %.2f%% %.2f%%\n", verdict, 100 * old, 100 * new
        }'
}

now=$(figures) || back 'no figures'
read -r old_ended0 old_failed0 _ <<<"$now"
for share in $steps; do
    shift_to "$share" || back "the split with $share % for $new could not be set"
    now=$(figures) || back 'no figures'
    read -r _ _ new_ended0 new_failed0 _ <<<"$now"
    began=$SECONDS
    while :; do
        sleep 1
        now=$(figures) || back 'no figures'
        read -r old_ended old_failed new_ended new_failed up <<<"$now"
        ended=$((new_ended - new_ended0)) failed=$((new_failed - new_failed0))
        read -r verdict of_old of_new < <(judge $((old_failed - old_failed0)) \
            $((old_ended - old_ended0)) "$failed" "$ended")
        ((up > 0)) || back "no backend of $new is up"
        [[ $verdict == well ]] ||
            back "$new fails $of_new of its connections ($failed of $ended), $old $of_old"
        ((SECONDS - began < step_seconds || ended < min_sessions)) || break
        ((SECONDS - began < 10 * step_seconds)) || back "only $ended connections to $new at $share %"
    done
    echo "$share %: $new failed $of_new of $ended connections, $old $of_old so far"
done
trap - EXIT
echo "all clients are with $new; write that into the configuration, too"
