#!/bin/sh
# Runs the Node that Ottla needs: the machine's own when it is 26.9 or newer, else the one
# that came with the packages. Usage: sh scripts/node.sh [node arguments]
root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
PATH="$root/node_modules/.bin:$PATH"
. "$root/scripts/find-node.sh"
exec "$OTTLA_NODE" "$@"
