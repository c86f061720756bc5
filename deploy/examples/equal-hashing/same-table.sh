#!/usr/bin/env bash
# same-table.sh UPSTREAM METRICS-URL...: whether these instances hash alike. Status 1 if they do not.
# An instance on this machine is also "unix:PATH" of its admin socket.
set -euo pipefail
(($# >= 3)) || { sed -n '2,3s/^# *//p' "$0" >&2; exit 2; }
upstream=$1
shift

page() {
    case $1 in
        unix:*) curl --silent --show-error --fail --max-time 5 --unix-socket "${1#unix:}" http://localhost/metrics ;;
        *) curl --silent --show-error --fail --max-time 5 "$1" ;;
    esac
}

declare -A tables
for instance; do
    table=$(page "$instance" |
        sed -n "s/^penstock_upstream_hash_checksum{upstream=\"$upstream\"} //p")
    [[ -n $table && $table != 0 ]] || { echo "$instance: upstream $upstream has no hash table" >&2; exit 1; }
    echo "$table  $instance"
    tables[$table]=1
done
((${#tables[@]} == 1)) || { echo "they differ: compare names, weights and hash_seed" >&2; exit 1; }
