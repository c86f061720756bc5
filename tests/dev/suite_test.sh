#!/usr/bin/env bash
# How `./dev test` judges the first run of a suite, and what it allows the tests: with stand-ins for
# cmake, ctest and the package manager.
set -euo pipefail
dev=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/dev
readonly dev
here=$(mktemp -d)
readonly here
trap 'rm -rf "$here"' EXIT
failures=0

mkdir -p "$here/bin" "$here/build/release/Testing/Temporary"
cp "$dev" "$here/dev"
for program in cmake node npm kubectl; do
    printf '#!/bin/sh\nexit 0\n' >"$here/bin/$program"
done
printf '#!/bin/sh\nprintf installed\n' >"$here/bin/dpkg-query"
cat >"$here/bin/sudo" <<'TEXT'
#!/bin/sh
[ "$1" != --preserve-env ] || shift
exec "$@"
TEXT
cat >"$here/bin/ctest" <<'TEXT'
#!/bin/sh
ulimit -Sn >"$HERE/descriptors"
case "$*" in *--rerun-failed*) echo again; exit "$SECOND" ;; esac
echo 1:some.test >build/release/Testing/Temporary/LastTestsFailed.log
printf '%s\n' "$LOGGED" >build/release/Testing/Temporary/LastTest.log
printf '%s\n' "$SHOWN"
exit "$FIRST"
TEXT
chmod +x "$here"/bin/*

# run SHOWN LOGGED SECOND [FIRST]: a suite whose first run shows and logs that; what it says.
run() {
    HERE=$here SHOWN=$1 LOGGED=$2 SECOND=$3 FIRST=${4:-8} PATH=$here/bin:$PATH \
        timeout 30 "$here/dev" test 2>&1
}

# expect WHAT STATUS WORD SHOWN LOGGED SECOND [FIRST]
expect() {
    local what=$1 status=$2 word=$3 got=0 said
    shift 3
    said=$(run "$@") || got=$?
    if [[ $got != "$status" || $said != *"$word"* ]]; then
        printf 'FAILED: %s: status %s, expected %s and "%s" in:\n%s\n' \
            "$what" "$got" "$status" "$word" "$said"
        failures=$((failures + 1))
    fi
}

passed='1/1 Test #1: some.test ......   Passed    0.01 sec'
late='1/1 Test #1: some.test ......***Timeout   1.01 sec'
expect "all pass" 0 Passed "$passed" "" 1 0
expect "a time-out that is not repeated" 0 "failed at first, run again alone: some.test" "$late" "" 0
expect "a time-out that is" 8 again "$late" "" 8
for died in '***Exception: SegFault' 'Subprocess aborted***Exception:' 'Bus error***Exception:' \
    '***Exception: Numerical' '***Exception: Illegal' 'Subprocess killed***Exception:'; do
    expect "a test program that died" 1 "something crashed" \
        "1/1 Test #1: some.test ......$died   0.01 sec" "" 0
done
for died in 'the proxy died of signal 11' 'sanitizer report of 7' '==7==ERROR: AddressSanitizer' \
    'a.cpp:1:2: runtime error: signed integer overflow'; do
    expect "a program that died in a test" 1 "something crashed" "$late" "$died" 0
done
expect "a program that a test killed" 0 again "$late" "died of signal 9" 0

(
    ulimit -Sn 1024
    run "$passed" "" 0 0 >/dev/null
)
wanted=$(ulimit -Hn)
if [[ $wanted == unlimited ]] || ((wanted > 20000)); then wanted=20000; fi
if [[ $(<"$here/descriptors") != unlimited ]] && (($(<"$here/descriptors") < wanted)); then
    echo "FAILED: with 1024 descriptors tests got $(<"$here/descriptors")"
    failures=$((failures + 1))
fi
exit "$((failures != 0))"
