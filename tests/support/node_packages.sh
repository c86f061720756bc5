#!/bin/sh
# node_packages.sh SOURCE DIRECTORY
#
# Installs the packages of SOURCE/package-lock.json into DIRECTORY (part of the build, not of the
# source), unless they are there.
set -eu

if [ $# -ne 2 ]; then
    echo "usage: $0 SOURCE DIRECTORY" >&2
    exit 2
fi
source=$1
directory=$2

if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    echo "this test needs node and npm; as root: apt-get install nodejs npm   (or: ./dev deps test)" >&2
    exit 1
fi
if ! node --eval 'process.exit(process.versions.node.split(".")[0] >= 18 ? 0 : 1)'; then
    echo "this test needs node 18 or later; this is $(node --version): $(command -v node)" >&2
    exit 1
fi

mkdir -p "$directory"
cd "$directory"
if ! cmp -s "$source/package-lock.json" installed.json; then
    rm -f installed.json
    cp "$source/package.json" "$source/package-lock.json" .
    npm ci --ignore-scripts --no-audit --no-fund >&2 || {
        echo "npm could not install the packages of $source/package-lock.json; does it reach its registry?" >&2
        exit 1
    }
    cp "$source/package-lock.json" installed.json
fi
