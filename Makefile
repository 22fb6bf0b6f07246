# SPDX-License-Identifier: Apache-2.0
#
# `make test` and `make lint` are what CI runs, through .ci/run. `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS := -s -w -X main.version=$(VERSION)
TOOL := go tool -modfile=tools/go.mod
# Three packages at a time: most of them wait for servers of their own, so that two cores have room for one more.
TESTFLAGS ?= -p 3 -timeout 16m
RACE ?= -race -shuffle=on
FUZZTIME ?= 20s
BENCHTIME ?= 1s
COUNT ?= 1
SEEDS ?= 1000
SEED ?= 0
PG_VERSIONS ?= 14 15 16 17 18

.PHONY: help build install test race unit lint fmt generate docs fuzz bench bench-micro bench-compare bench-peer integration e2e chaos \
	test-matrix test-second-version test-large test-peer golden demo servers compose-env compose-check dockerfile-check alerts-check clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t 16

build: ## bin/freshet: one static binary
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/freshet ./cmd/freshet

install: ## freshet into GOBIN
	CGO_ENABLED=0 go install -trimpath -ldflags '$(LDFLAGS)' ./cmd/freshet

servers: ## find, install or fetch the database servers that the tests need
	@go run ./internal/pgserver/install
	@go run ./internal/kafkaserver/install
	@go run ./internal/registryserver/install
	@go run ./internal/connectserver/install
	@go run ./internal/mysqlserver/install

test: servers ## everything, with the race detector; a missing server is a failure
	FRESHET_TEST_REQUIRE=postgres,mysql,mariadb,kafka,registry,connect,python go test $(RACE) $(TESTFLAGS) ./...

race: test ## the same as test

unit: ## quick: without the race detector, without the tests that start whole systems
	go test $(TESTFLAGS) $$(go list ./... | grep -v /test/)

integration: servers ## the tests against real servers, verbosely
	FRESHET_TEST_REQUIRE=postgres,mysql,mariadb,kafka go test -v $(TESTFLAGS) ./emitter/topic/kafka/... ./capture/postgres/... ./sinks/jdbc/... ./internal/verify/... ./internal/testdb/...

golden: servers ## the recorded cases
	FRESHET_TEST_REQUIRE=postgres,mysql,mariadb go test -v -count=1 $(TESTFLAGS) -run '^TestGolden' ./...

e2e: servers ## whole-system tests through the real binary
	FRESHET_TEST_REQUIRE=postgres,kafka,connect,python go test -v -count=1 $(TESTFLAGS) ./test/e2e/...

chaos: servers ## kill tests: SEEDS seeds, one after another on the screen; SEED=n runs that one again
	FRESHET_TEST_REQUIRE=postgres go test -v -count=1 -timeout 6h ./test/chaos/ $(if $(filter-out 0,$(SEED)),-seed $(SEED),-seeds $(SEEDS)) -tx-rows 10000000 -tables 10000

test-matrix: ## the tests against real servers on each of PG_VERSIONS
	for v in $(PG_VERSIONS); do echo "== PostgreSQL $$v"; \
		FRESHET_TEST_PG_VERSION=$$v FRESHET_TEST_REQUIRE=postgres \
		go test -count=1 $(TESTFLAGS) ./capture/postgres/... ./sinks/jdbc/... ./internal/testdb/... ./test/...; done

test-peer: servers ## random cases through Debezium (Maven, a JDK) and through freshet, compared as text; PEERFLAGS='-seed N -n 1'
	test/peer/rig/up.sh
	go run ./test/peer $(PEERFLAGS)
	FRESHET_TEST_REQUIRE=postgres,kafka,connect go test -tags peer -count=1 ./test/e2e -run 'TestHandingOver|TestMixedGroup'

test-second-version: ## what talks to a source, on PostgreSQL 17 too
	FRESHET_TEST_PG_VERSION=17 FRESHET_TEST_REQUIRE=postgres go test -count=1 $(TESTFLAGS) ./capture/postgres/... ./test/golden

test-large: ## rows of their whole size, for which the race detector is too slow
	FRESHET_TEST_REQUIRE=postgres go test -count=1 $(TESTFLAGS) -run TestLargeRow ./test/e2e

lint: ## linters, formatting, import levels, generated files, deployment files
	$(TOOL) golangci-lint run ./...
	go test -count=1 ./internal/archtest
	go run ./internal/docgen -check
	bash -n .ci/run deploy/*.sh tools/*.sh test/peer/rig/*.sh
	$(MAKE) --no-print-directory compose-check dockerfile-check alerts-check

compose-check: ## docker-compose.yaml against the Compose specification (and by docker, where it is there)
	@tmp=$$(mktemp -d); trap 'rm -rf "$$tmp"' EXIT; \
	deploy/compose-env.sh "$$tmp/.env" >/dev/null; set -a; . "$$tmp/.env"; set +a; \
	go -C tools run ./composecheck ../docker-compose.yaml; \
	if docker compose version >/dev/null 2>&1; then docker compose --env-file "$$tmp/.env" config -q; fi; \
	echo "docker-compose.yaml is valid"

dockerfile-check: ## deploy/Dockerfile by hadolint
	tools/hadolint.sh deploy/Dockerfile

alerts-check: ## expressions of deploy/alerts.yaml and the dashboard, by Prometheus' own parser
	go -C tools/alertcheck test ./...

fmt: ## gofumpt and goimports
	$(TOOL) golangci-lint fmt ./...

generate: docs ## everything that is generated
	go generate ./...

docs: ## docs/reference from the declarations of the properties
	go run ./internal/docgen

fuzz: ## each fuzz target for FUZZTIME
	for pkg in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
		for f in $$(grep -h '^func Fuzz' $$pkg/*_test.go | sed -E 's/func (Fuzz[A-Za-z0-9_]*).*/\1/'); do \
			echo "== $$pkg $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$pkg; done; done

bench: servers build ## the workloads of docs/benchmarks.md, beside the limits measured in the same run
	go run ./test/bench

bench-peer: servers ## the workloads through Debezium on Kafka Connect (Maven, a JDK) and through freshet, in turn
	test/peer/rig/up.sh fresh
	go run ./test/bench -peer

bench-micro: ## the benchmarks beside the code
	go test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) -count $(COUNT) ./... | tee bench.new

bench-compare: ## bench.old against bench.new, ten runs each on the same machine
	$(TOOL) benchstat bench.old bench.new

demo: build ## the whole story on a PostgreSQL of its own, in under a minute
	bin/freshet demo $(DEMOFLAGS)

compose-env: ## random passwords for docker-compose.yaml into .env
	deploy/compose-env.sh .env

clean: ## what was built
	rm -rf bin bench.new .cache
