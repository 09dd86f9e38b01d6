#!/bin/sh
# Make flamev1/ anew from protos/. Needs protoc and Go; the result is committed, so that a build
# needs Go alone.
set -eu
cd "$(dirname "$0")"
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
GOBIN="$bin" go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.6
GOBIN="$bin" go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.5.1
set -- flame/v1/types.proto flame/v1/shim.proto
for file in "$@"; do
  options="${options:-} --go_opt=M$file=flame.example/service/flamev1"
  options="$options --go-grpc_opt=M$file=flame.example/service/flamev1"
done
# shellcheck disable=SC2086  # the options are words
PATH="$bin:$PATH" protoc -I ../../../protos $options \
  --go_out=. --go_opt=module=flame.example/service \
  --go-grpc_out=. --go-grpc_opt=module=flame.example/service "$@"
gofmt -w flamev1
