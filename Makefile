# Needs GNU make and Go, nothing else. `make` alone lists the verbs.
GO   ?= go
TAGS ?= hashicorpmetrics
BIN  ?= bin/rollcall

# The tag goes into GOFLAGS so that every go command below, and every program
# it starts, builds the same code: without it Raft's metrics vanish.
export GOFLAGS := $(strip $(filter-out -tags=%,$(GOFLAGS)) -tags=$(TAGS))

FUZZTIME ?= 20s
# The race detector needs cgo, which go switches off on a machine without a C
# compiler; the tests still run there.
RACE ?= $(if $(filter 1,$(shell $(GO) env CGO_ENABLED)),-race)

PKG     := github.com/rollcall-id/rollcall/internal/version
COMMIT  ?= $(shell git describe --always --dirty --exclude='*' --abbrev=12 2>/dev/null)
LDFLAGS := -s -w -X $(PKG).Commit=$(COMMIT) $(if $(VERSION),-X $(PKG).Version=$(VERSION))

.DEFAULT_GOAL := help
.PHONY: help build demo test check e2e conformance bench fuzz cover

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

build: ## static binary in bin/rollcall (VERSION=1.2.3 stamps a release)
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/rollcall

demo: ## three servers and three agents on this machine (ONCE=1 exits when done)
	@ONCE=$(ONCE) $(GO) run ./e2e/demo

test: ## every test but the long suites, under the race detector
	$(if $(RACE),,@echo 'no C compiler (cgo is off): running without the race detector')
	$(GO) test $(RACE) -timeout 10m ./...

check: ## formatting, vet, staticcheck, go.mod; changes nothing
	@out=$$(gofmt -l .) && if [ -n "$$out" ]; then echo "run gofmt -w on:"; echo "$$out"; exit 1; fi
	$(GO) vet -tags '$(TAGS),e2e' ./...
	$(GO) tool staticcheck -tags '$(TAGS),e2e' ./...
	$(GO) mod tidy -diff

e2e: ## clusters of real processes (minutes)
	$(GO) test $(RACE) -tags '$(TAGS),e2e' -count=1 -timeout 30m ./e2e/...

conformance: ## the Go SDK's own tests against our binary (six minutes)
	$(GO) run ./e2e/conformance

bench: ## throughput of a three-server cluster, beside the machine's limits
	$(GO) run ./bench

fuzz: ## every fuzz target for FUZZTIME each (20s)
	./scripts/fuzz.sh $(FUZZTIME)

cover: ## statement coverage, by package and in total
	$(GO) test -coverprofile=cover.out ./...
	$(GO) tool cover -func=cover.out | tail -n 1
