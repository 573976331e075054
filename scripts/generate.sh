#!/bin/sh
# Generates packages/proto/gen from proto/. Runs after every install.
set -e
cd "$(dirname -- "$0")/.."
root=$(pwd)
. scripts/find-node.sh
PATH="$root/node_modules/.bin:$PATH"
buf generate
