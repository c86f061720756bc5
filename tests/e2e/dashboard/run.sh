#!/bin/sh
# Runs the tests of the dashboard: run.sh DIRECTORY PENSTOCK
#
# Installs the packages of package-lock.json into DIRECTORY (part of the build, not of the source),
# unless they are there, and starts node's test runner on the program PENSTOCK. With the environment
# variable SCREENSHOT=FILE.png, a picture of the page is left there.
set -eu

if [ $# -ne 2 ]; then
    echo "usage: $0 DIRECTORY PENSTOCK" >&2
    exit 2
fi
directory=$1
PENSTOCK=$2
source=$(cd "$(dirname "$0")" && pwd)

missing=
command -v node >/dev/null || missing="$missing nodejs"
command -v npm >/dev/null || missing="$missing npm"
CHROMIUM=$(command -v chromium) || missing="$missing chromium"
if [ -n "$missing" ]; then
    echo "the test of the dashboard needs, as root: apt-get install$missing   (or: ./dev deps test)" >&2
    exit 1
fi
if ! node --eval 'process.exit(process.versions.node.split(".")[0] >= 18 ? 0 : 1)'; then
    echo "the test of the dashboard needs node 18 or later; this is $(node --version): $(command -v node)" >&2
    exit 1
fi

mkdir -p "$directory"
cd "$directory"
if ! cmp -s "$source/package-lock.json" installed.json; then
    rm -f installed.json
    cp "$source/package.json" "$source/package-lock.json" .
    npm ci --ignore-scripts --no-audit --no-fund || {
        echo "npm could not install the packages of $source/package-lock.json; does it reach its registry?" >&2
        exit 1
    }
    cp "$source/package-lock.json" installed.json
fi

NODE_PATH=$PWD/node_modules
export NODE_PATH PENSTOCK CHROMIUM
exec node --test "$source/logic.test.mjs" "$source/dashboard.test.mjs"
