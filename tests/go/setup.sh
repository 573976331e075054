#!/bin/sh
# Makes a Go module with the stubs of proto/ottla/v1 under .cache/go/hello and prints its path.
set -e
cd "$(dirname -- "$0")/../.."
root=$(pwd)
GOBIN="$root/.cache/go/bin"
export GOBIN
{
  [ -x "$GOBIN/protoc-gen-go" ] || go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.11
  [ -x "$GOBIN/protoc-gen-go-grpc" ] || go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2
  mkdir -p .cache/go/hello
  PATH="$GOBIN:$PATH" node_modules/.bin/buf generate \
    --template tests/go/buf.gen.yaml --path proto/ottla/v1 -o .cache/go/hello
  cd .cache/go/hello
  [ -f go.mod ] || go mod init example.com/hello
  [ -f main.go ] ||
    printf 'package main\n\nimport _ "example.com/hello/gen/ottla/v1"\n\nfunc main() {}\n' > main.go
  go mod tidy
} >&2
echo "$root/.cache/go/hello"
