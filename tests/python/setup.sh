#!/bin/sh
# Makes a Python environment with grpcio under .cache/python and generates the stubs of proto/ there.
set -e
cd "$(dirname -- "$0")/../.."
environment=.cache/python
if [ ! -x "$environment/bin/python" ] || ! "$environment/bin/python" -c "import grpc_tools" 2>/dev/null; then
  python3 -m venv "$environment"
  "$environment/bin/python" -m pip install --quiet grpcio grpcio-tools
fi
mkdir -p "$environment/stubs"
stubs=$environment/stubs
"$environment/bin/python" -m grpc_tools.protoc -Iproto --python_out="$stubs" --grpc_python_out="$stubs" \
  proto/ottla/v1/*.proto
