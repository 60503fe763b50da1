# What CI runs is .ci/run; the other targets are parts of it, and conveniences.
.PHONY: check test build images containers cluster packages release generate format lint fuzz bench failovers

export GOTOOLCHAIN = go1.27.3

check: ## everything that CI checks
	bash .ci/run

test: ## the tests alone
	bash .ci/run mariadb race test modules_below

build: ## the binaries, static, into dist/
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o dist/ ./cmd/...

images: ## container images for linux/amd64 and linux/arm64, into dist/images
	cd tools && go run ./images -out ../dist/images

packages: ## .deb and .rpm with systemd units, man pages and completions, into dist/packages; VERSION=1.2.3
	cd tools && go run ./packages -version "$(VERSION)" -out ../dist/packages

release: ## programs for all systems, SBOMs and SHA256SUMS, logged, into dist/release; URL= and KEY= name the log and the key
	cd tools && go run ./release -out ../dist/release -url "$(URL)" -key "$(KEY)"

containers: ## the images and compose.yaml, run with podman; needs root; the result goes into docs/containers-run.md
	tools/run-containers

HELM = v3,v4
cluster: ## the chart in a real Kubernetes, with podman; needs root; the result goes into docs/cluster-run.md; HELM=v3 or v4 for one of them
	cd tools && go run ./cluster -helm $(HELM)

.PHONY: terraform
terraform: ## the tests of deploy/terraform with a Terraform that is built here; the result goes into docs/terraform-run.md
	tools/run-terraform

generate: ## what is generated: the API's code, the page's verifier, the licenses and the settings' documentation
	cd tools && go run ./genproto
	cd tools && go run ./prover
	cd tools && go run ./notices
	go run ./cmd/logserver config doc > docs/configuration.md

format:
	$$(cd tools && go tool -n gofumpt) -w .

lint:
	bash .ci/run format vet staticcheck deadcode

.PHONY: mirror-kills
mirror-kills: ## a mirror is killed 100 times, at random moments
	INDELIBLE_MIRROR_KILLS=100 go test ./mirror -run '^TestKill$$' -count=1 -v

.PHONY: publication-kills
publication-kills: ## a publisher is killed 50 times, at random moments
	INDELIBLE_PUBLICATION_KILLS=50 go test ./publication -run '^TestKill$$' -count=1 -v

fuzz: ## every target, a minute each; one of them: go test -fuzz '^FuzzParseBundle$$' ./merkle
	FUZZ_SECONDS=60 FUZZ_TOTAL_SECONDS=86400 bash .ci/run fuzz

bench: ## the log against the limits of this machine; some 15 minutes
	go run ./bench

failovers: ## a log on a MySQL group whose members fail, 20 times in each topology; some 25 minutes; writes docs/failovers.md
	bash tools/failovers

.PHONY: upgrades
upgrades: ## logs of an earlier revision are upgraded, on SQLite and MariaDB; writes docs/upgrades-run.md
	bash tools/upgrades
