#!/bin/sh
# Builds the version before this one, from the commit that `previous-version` names, under .cache/previous:
# what a rolling upgrade comes from and a rollback goes to. Quick when it is there. Without that commit in the
# history (a shallow clone) it says so, and fails in continuous integration; elsewhere the tests say what they
# skip.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
root=$(CDPATH= cd -- "$here/../.." && pwd)
commit=$(cat "$here/previous-version")
cache=$root/.cache/previous
[ -x "$cache/$commit/bin/ottla" ] && exit 0

if ! git -C "$root" cat-file -e "$commit^{commit}" 2>/dev/null; then
  echo "the previous version is commit $commit, which this clone does not have: git fetch --unshallow" >&2
  [ -z "${CI:-}" ] || exit 1
  exit 0
fi
tree=$cache/$commit.tree
rm -rf "$tree"
mkdir -p "$tree"
git -C "$root" archive "$commit" | tar -x -C "$tree"
make -s -C "$tree" bundle >"$tree.log" 2>&1 || {
  tail -n 20 "$tree.log" >&2
  echo "the previous version, commit $commit, cannot be built: see $tree.log" >&2
  exit 1
}
rm -rf "$cache/${commit:?}"
mv "$tree/dist/bundle" "$cache/$commit"
rm -rf "$tree" "$tree.log"
