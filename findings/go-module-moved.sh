#!/usr/bin/env bash
# A Go module that moves to another path, and what the go command says about its updates: cel-go.
#
# Seen with Go 1.27.3. cel-go is cel.dev/cel-go since v0.32.0. The tag v0.32.0 is listed under the old path, too, but its go.mod
# names the new one, so that nobody can require it by the old path:
#
#   go list -m -u github.com/google/cel-go    says that there is an update: v0.31.0 [v0.32.0]
#   go get github.com/google/cel-go@latest    fails: module declares its path as: cel.dev/cel-go
#   go get -u ./...                           succeeds with exit code 0, updates other modules, and stays at v0.31.0; four of
#                                             its lines on standard error say "restoring github.com/google/cel-go@v0.31.0"
#
# So a job that updates by "go get -u" is green, and never gets another version by the old path; tools that read "go list -m -u"
# propose an update that cannot be made. The way out is to import cel.dev/cel-go.
#
# This script fails if that changes. It needs Go and the module proxy.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export GOTOOLCHAIN=go1.27.3 GOFLAGS=-mod=mod

cat >go.mod <<'MOD'
module moved

go 1.27

require github.com/google/cel-go v0.31.0
MOD
cat >main.go <<'GO'
package main

import "github.com/google/cel-go/cel"

func main() { cel.NewEnv() }
GO
go mod tidy 2>/dev/null

update=$(go list -m -u github.com/google/cel-go)
echo "go list -m -u: $update"
case $update in *"v0.31.0 [v0."*) ;; *) echo "it proposes no update any more"; exit 1 ;; esac

if go get github.com/google/cel-go@v0.32.0 2>said; then echo "v0.32.0 can be required by the old path"; exit 1; fi
grep -q 'module declares its path as: cel.dev/cel-go' said
echo "go get …@v0.32.0: $(grep -o 'module declares.*' said)"

go get -u ./... 2>said
stays=$(go list -m github.com/google/cel-go)
echo "go get -u ./...: succeeds, and has $stays"
[ "$stays" = "github.com/google/cel-go v0.31.0" ]
grep -q "restoring github.com/google/cel-go@v0.31.0" said

sed -i 's,github.com/google/cel-go,cel.dev/cel-go,' main.go
go get cel.dev/cel-go@v0.32.0 2>/dev/null
go mod tidy 2>/dev/null
echo "the new path: $(go list -m cel.dev/cel-go)"
