# What CI runs is .ci/run; the other targets are parts of it, and conveniences.
.PHONY: check test build generate format lint fuzz bench

check: ## everything that CI checks
	bash .ci/run

test:
	go test ./...

build: ## the binaries, static, into dist/
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o dist/ ./cmd/...

generate: ## what is generated: the API's code and the settings' documentation
	cd tools && go run ./genproto
	go run ./cmd/logserver config doc > docs/configuration.md

format:
	$$(cd tools && go tool -n gofumpt) -w $$(git ls-files '*.go' | grep -v '^api/proto/')

lint:
	go vet ./...
	$$(cd tools && go tool -n staticcheck) ./...

fuzz: ## one target, longer: make fuzz PKG=./merkle TARGET=FuzzParseBundle
	go test -run '^$$' -fuzz '^$(TARGET)$$' -fuzztime 5m $(PKG)

bench: ## the log against the limits of this machine; some 10 minutes
	go run ./bench
