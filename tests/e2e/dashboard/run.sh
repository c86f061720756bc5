#!/bin/sh
# Runs the tests of the dashboard: run.sh DIRECTORY PENSTOCK
#
# Installs its packages into DIRECTORY and starts node's test runner on the program PENSTOCK. With the
# environment variable SCREENSHOT=FILE.png, a picture of the page is left there.
set -eu

if [ $# -ne 2 ]; then
    echo "usage: $0 DIRECTORY PENSTOCK" >&2
    exit 2
fi
directory=$1
PENSTOCK=$2
source=$(cd "$(dirname "$0")" && pwd)

CHROMIUM=$(command -v chromium) || {
    echo "the test of the dashboard needs, as root: apt-get install chromium   (or: ./dev deps test)" >&2
    exit 1
}
"$source/../../support/node_packages.sh" "$source" "$directory"

cd "$directory"
NODE_PATH=$PWD/node_modules
export NODE_PATH PENSTOCK CHROMIUM
exec node --test "$source/logic.test.mjs" "$source/dashboard.test.mjs"
