# Thermocline's tasks. `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
GOTESTFLAGS ?=
TEST_TIMEOUT ?= 15m

# The tools of `make check`, pinned. They come through the Go module proxy.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOLANGCI    := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0

# The packages without I/O, whose tests run with the race detector in seconds.
PURE := ./history/... ./fleet/... ./manager/... ./dispatch/memdispatch/... ./client/...

.PHONY: help build demo test bench deps check format vet lint tidy race vulnerabilities clean soak fuzz

help: ## list the tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/thermocline
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/thermocline ./cmd/thermocline

deps: ## install what is missing of runc, python3 and nodejs (Debian packages; needs root)
	scripts/deps.sh

demo: deps build ## deploy the examples on a temporary server, invoke them, leave nothing behind
	scripts/demo.sh

test: deps build ## run all tests
	CI=$${CI:-} go test -timeout $(TEST_TIMEOUT) $(GOTESTFLAGS) ./...

# BENCH_OUT names a document whose table is replaced (docs/benchmarks.md),
# BENCH_TIME is the time of one measurement (200ms is a quick look), BENCH_FLAGS
# are further flags of e2e/bench (-help lists them).
bench: deps build ## measure beside the bare runtimes and workerd
	@CGO_ENABLED=0 go run ./e2e/bench $(if $(BENCH_TIME),-time $(BENCH_TIME)) $(if $(BENCH_OUT),-update $(BENCH_OUT)) $(BENCH_FLAGS)

# DURATION is how long the load goes on, INTERVAL how often the table has a line.
soak: deps build ## mixed load, after which everything must be back where it was
	go test ./e2e/soak -count 1 -v -timeout 0 -args -duration $(or $(DURATION),1h) -interval $(or $(INTERVAL),1m)

fuzz: ## fuzz every target, each for FUZZTIME (30s)
	scripts/fuzz.sh $(or $(FUZZTIME),30s)

check: format vet lint tidy race vulnerabilities ## format, vet, linters, race tests, tidy, vulnerabilities

format: ## fail when a file is not formatted
	@out=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); \
	if [ -n "$$out" ]; then echo "not formatted (gofmt -w):"; echo "$$out"; exit 1; fi

vet: ## go vet
	go vet ./...

lint: ## staticcheck and golangci-lint
	go run $(STATICCHECK) ./...
	go run $(GOLANGCI) run ./...

tidy: ## fail when go.mod is not tidy
	go mod tidy -diff

race: ## the pure packages with the race detector
	CGO_ENABLED=1 go test -race -timeout 5m $(PURE)

vulnerabilities: ## govulncheck, where its data can be had
	scripts/vulnerabilities.sh $(GOVULNCHECK)

clean: ## remove what was built
	rm -rf bin dist
