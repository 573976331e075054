#!/bin/sh
# Builds etcd and etcdutl of a version from Go's modules, into .cache/etcd/<version>, and prints that
# directory. Quick when they are there. Usage: setup.sh 3.5.13 | 3.5 | 3.6, the last two being the newest of
# theirs that is pinned here.
set -e
cd "$(dirname -- "$0")"
version=$(ls -d "${1:-3.6}"*/ | sort -V | tail -1 | tr -d /)
cache=$(cd ../.. && pwd)/.cache/etcd/$version
if [ ! -x "$cache/etcdutl" ]; then
  cd "$version"
  mkdir -p "$cache"
  go build -o "$cache/etcd" go.etcd.io/etcd/server/v3 >&2
  go build -o "$cache/etcdutl" go.etcd.io/etcd/etcdutl/v3 >&2
fi
echo "$cache"
