#!/bin/sh
# Checks the manifests of deploy/kubernetes against the schemas of the API: run.sh DIRECTORY
#
# Installs the packages with the schemas into DIRECTORY and starts node's test runner.
set -eu

if [ $# -ne 1 ]; then
    echo "usage: $0 DIRECTORY" >&2
    exit 2
fi
directory=$1
source=$(cd "$(dirname "$0")" && pwd)
MANIFESTS=$(cd "$source/../../../deploy/kubernetes" && pwd)

if ! command -v kubectl >/dev/null; then
    echo "the test of the manifests needs kubectl; as root: apt-get install kubernetes-client   (or: ./dev deps test)" >&2
    exit 1
fi
"$source/../../support/node_packages.sh" "$source" "$directory"

cd "$directory"
NODE_PATH=$PWD/node_modules
export NODE_PATH MANIFESTS
exec node --test "$source/schema.test.mjs"
