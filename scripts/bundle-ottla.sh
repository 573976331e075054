#!/bin/sh
# Runs the `ottla` command from a bundle (`make bundle`), with the machine's Node. May be called through
# symbolic links.

self=$0
while [ -h "$self" ]; do
  directory=$(CDPATH= cd -- "$(dirname -- "$self")" && pwd -P)
  self=$(readlink -- "$self")
  case $self in
    /*) ;;
    *) self=$directory/$self ;;
  esac
done
root=$(CDPATH= cd -- "$(dirname -- "$self")/.." && pwd -P)
. "$root/bin/find-node.sh"

# Compiled code is kept between runs, which halves the start: beside the program, else where this user may
# write.
if [ -z "${NODE_COMPILE_CACHE:-}" ] && [ -z "${NODE_DISABLE_COMPILE_CACHE:-}" ]; then
  if [ -d "$root/cache" ] || mkdir "$root/cache" 2>/dev/null; then
    NODE_COMPILE_CACHE=$root/cache
  else
    NODE_COMPILE_CACHE=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/ottla
  fi
  export NODE_COMPILE_CACHE
fi

program=$root/lib/ottla.js
. "$root/bin/launch.sh"
