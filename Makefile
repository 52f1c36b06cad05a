# Everything that a contributor or the gate runs. `make` lists the targets.
#
# Tools are installed at these versions into .bin, which git ignores. A tool
# that cannot be installed prints one line, "SKIPPED …", and the rest goes on;
# STRICT=1 makes that a failure.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

GOLANGCI_LINT_VERSION := v2.15.0
ACTIONLINT_VERSION := v1.7.12
GREMLINS_VERSION := v0.6.0
CFN_LINT_VERSION := 1.51.0
MOTO_VERSION := 5.2.1
PYSPARK_VERSION := 4.0.1
SAM_VERSION := 1.161.1

BIN := $(CURDIR)/.bin
VENV := $(BIN)/venv
PYTHON ?= python3

# Versions are part of the names, so a changed pin is a missing file. A linter
# cannot read code of a newer Go than it was built with.
GOLANGCI_LINT := $(BIN)/golangci-lint-$(GOLANGCI_LINT_VERSION)-$(shell go env GOVERSION)
ACTIONLINT := $(BIN)/actionlint-$(ACTIONLINT_VERSION)
GREMLINS := $(BIN)/gremlins-$(GREMLINS_VERSION)
CFN_LINT := $(VENV)/cfn-lint-$(CFN_LINT_VERSION)
MOTO := $(VENV)/moto-$(MOTO_VERSION)
PYSPARK := $(VENV)/pyspark-$(PYSPARK_VERSION)
SAM := $(VENV)/aws-sam-cli-$(SAM_VERSION)

FUNCTIONS := rotate audit revoke

# The build of the deployed binaries, here and within sam build, which passes
# the environment on to go build.
LAMBDA_GOFLAGS := -trimpath -buildvcs=false -tags=lambda.norpc '-ldflags=-s -w'

# skip says in one line what is not checked, and why.
skip = { echo "SKIPPED $(1): $(2)"; [[ "$${STRICT:-}" != 1 ]]; }

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Show the whole system at work on this machine
	@go run ./infra/sandbox

.PHONY: test
test: ## Run the tests
	@go test ./...

# A soak's failing script is written to testdata/rapid and plays again with
# the flag that the failure prints.
SOAK_CHECKS ?= 100000
SOAK_SHARDS ?= $(shell getconf _NPROCESSORS_ONLN)

.PHONY: crash-matrix
crash-matrix: ## Fail each call of a rotation, at every door, and of a revocation in every way
	@go test -count=1 -run '^TestCrashMatrix$$' -v ./functions/rotate/rotation | grep -v '^=== '
	@go test -count=1 -run '^(TestCrashMatrix|TestInterleaved)$$' -v ./functions/revoke/revocation -crash.stride 1 | grep -v '^=== '

.PHONY: soak
soak: ## Play SOAK_CHECKS random scripts of months with faults (takes long)
	@dir=$$(mktemp -d); trap 'rm -rf $$dir' EXIT; \
	go test -c -o $$dir/soak ./functions/rotate/rotation; \
	each=$$(( ($(SOAK_CHECKS) + $(SOAK_SHARDS) - 1) / $(SOAK_SHARDS) )); pids=(); \
	for (( i = 0; i < $(SOAK_SHARDS); i++ )); do \
		(cd functions/rotate/rotation && exec $$dir/soak -test.run '^TestSoak$$' -test.timeout 0 -test.v -rapid.checks=$$each) & pids+=($$!); \
	done; \
	for pid in "$${pids[@]}"; do wait $$pid; done; \
	echo "soak: $$(( each * $(SOAK_SHARDS) )) scripts, 0 violations"

# Go fuzzes one function at a time. What it finds interesting stays in its
# cache; make corpora keeps the smallest of it in testdata.
FUZZTIME ?= 10m

.PHONY: fuzz
fuzz: ## Fuzz every decoder and the planner for FUZZTIME each (takes long)
	@for package in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n 1 dirname | sort -u); do \
		for name in $$(sed -n 's/^func \(Fuzz[A-Za-z]*\)(.*/\1/p' $$package/*_test.go); do \
			echo "$$package $$name"; \
			go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) $$package | tail -n 3; \
		done; \
	done

.PHONY: corpora
corpora: ## Keep the smallest inputs that fuzzing found interesting
	@cache=$$(go env GOCACHE)/fuzz/$$(go list -m); \
	for dir in $$(cd $$cache && find . -mindepth 1 -type d -name 'Fuzz*'); do \
		to=$$(dirname $$dir)/testdata/fuzz/$$(basename $$dir); mkdir -p $$to; \
		for file in $$(ls -Sr $$cache/$$dir | sed -n 1,40p); do cp $$cache/$$dir/$$file $$to/; done; \
		echo "$$to: $$(ls $$to | wc -l) inputs"; \
	done

.PHONY: mutation
mutation: $(GREMLINS) ## Change the plan and the engine at random, and see that tests notice (takes long)
	@$(GREMLINS) unleash ./functions/rotate/rotation

# Takes some two minutes. What it prints is of this machine; the bound is not.
.PHONY: bench-audit
bench-audit: ## Read the largest account there may be: time over the bound, peak memory
	@dir=$$(mktemp -d); trap 'rm -rf $$dir' EXIT; \
	go build -o $$dir/auditbench ./infra/auditbench; $$dir/auditbench

.PHONY: sabotage
sabotage: ## Break the rotation on purpose, and see that the tests notice
	@go run ./infra/sabotage

.PHONY: check
check: modules format vet lint template workflows sam conformance sql-check browser sabotage ## Run everything that the gate needs, apart from the tests

.PHONY: build
build: ## Build the functions for Lambda into dist/
	@for name in $(FUNCTIONS); do \
		CGO_ENABLED=0 GOOS=linux GOARCH=arm64 GOFLAGS="$(LAMBDA_GOFLAGS)" \
			go build -o dist/$$name/bootstrap ./functions/$$name; \
	done
	@ls -l dist/*/bootstrap

.PHONY: modules
modules: ## Verify the downloaded modules against go.sum
	@go mod verify

.PHONY: format
format: $(GOLANGCI_LINT) ## Fail on code that gofumpt would change
	@$(GOLANGCI_LINT) fmt --diff

.PHONY: vet
vet: ## Run go vet
	@go vet ./...

.PHONY: lint
lint: $(GOLANGCI_LINT) ## Run golangci-lint
	@$(GOLANGCI_LINT) run

# Under the SAM transform cfn-lint does not look whether the actions in IAM
# policies exist (W3037), so that rule reads the template once more without it.
.PHONY: template
template: ## Lint template.yaml
	@if ! $(MAKE) -s $(CFN_LINT) 2>/dev/null; then \
		$(call skip,cfn-lint,make $(CFN_LINT) fails); \
	else \
		$(VENV)/bin/cfn-lint template.yaml; \
		sed '/^Transform:/d' template.yaml | $(VENV)/bin/cfn-lint --mandatory-checks W3037 --ignore-checks E I W; \
	fi

.PHONY: workflows
workflows: $(ACTIONLINT) ## Lint the GitHub workflows
	@$(ACTIONLINT)

.PHONY: sam
sam: export SAM_CLI_TELEMETRY := 0
sam: export AWS_DEFAULT_REGION ?= us-east-1
sam: ## Validate and build the stack with the SAM CLI
	@if ! $(MAKE) -s $(SAM) 2>/dev/null; then \
		$(call skip,sam validate and sam build,make $(SAM) fails); \
	else \
		$(VENV)/bin/sam validate --lint; \
		GOFLAGS="$(LAMBDA_GOFLAGS)" $(VENV)/bin/sam build; \
	fi

# The suite runs on the emulator in `go test ./...`; here it runs on an
# implementation that is not ours. A test that was skipped is not a pass.
.PHONY: conformance
conformance: ## Run the Secrets Manager conformance suite on moto
	@if [[ ! -d shared/awstest/conformance ]]; then \
		$(call skip,conformance,there is no suite in shared/awstest/conformance); \
	elif ! $(MAKE) -s $(MOTO) 2>/dev/null; then \
		$(call skip,conformance,make $(MOTO) fails); \
	else \
		port=$$($(VENV)/bin/python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'); \
		log=$$(mktemp); \
		$(VENV)/bin/moto_server -H 127.0.0.1 -p $$port >$$log 2>&1 & server=$$!; \
		trap 'kill $$server 2>/dev/null || true; wait $$server || true; rm -f $$log' EXIT; \
		for (( i = 0; i < 300; i++ )); do \
			if (: </dev/tcp/127.0.0.1/$$port) 2>/dev/null; then break; fi; \
			kill -0 $$server 2>/dev/null || { cat $$log; echo "moto_server did not start"; exit 1; }; \
			sleep 0.1; \
		done; \
		out=$$(AWS_ENDPOINT_URL_CONFORMANCE=http://127.0.0.1:$$port \
			go test -count=1 -v -run '^TestEndpoint$$' ./shared/awstest/conformance 2>&1) || true; \
		grep -q '^--- PASS: TestEndpoint ' <<<"$$out" || { grep -vE '^(=== | +--- PASS)' <<<"$$out"; exit 1; }; \
		echo "moto $(MOTO_VERSION): $$(grep -c '^    --- PASS' <<<"$$out") rules hold, or differ as the suite lists"; \
	fi

# The audit's statements are answered in memory in `go test ./...`; here the
# dialect's own engine answers them, over the same ten thousand events. Spark
# leaves files where it runs.
.PHONY: sql-check
sql-check: ## Run the audit's SQL on Spark, and compare it with the simulator
	@if ! java -version >/dev/null 2>&1; then \
		$(call skip,sql-check,Spark needs Java 17 or later); \
	elif ! $(MAKE) -s $(PYSPARK) 2>/dev/null; then \
		$(call skip,sql-check,make $(PYSPARK) fails); \
	else \
		dir=$$(mktemp -d); trap 'rm -rf $$dir' EXIT; \
		go run ./infra/sqlcheck -dir $$dir; \
		(cd $$dir && $(VENV)/bin/python $(CURDIR)/infra/sqlcheck/spark.py $$dir $(CURDIR)/functions/audit/auditing/usage/sql 2>$$dir/log) \
			|| { cat $$dir/log; exit 1; }; \
	fi

# With PICTURES=dir the photographs are kept; docs/images has them.
.PHONY: browser
browser: ## Open the audit's report in headless Chromium
	@if ! command -v chromium chromium-browser google-chrome google-chrome-stable headless-shell >/dev/null; then \
		$(call skip,browser,there is no Chromium); \
	else \
		go test -count=1 -tags=browser -run '^TestBrowser' ./functions/audit/auditing/page -pictures "$(PICTURES)"; \
	fi

.PHONY: clean
clean: ## Remove what was built; the tools in .bin stay
	@rm -rf dist .aws-sam

$(GOLANGCI_LINT):
	@echo "installing golangci-lint $(GOLANGCI_LINT_VERSION): this compiles for minutes, once"
	@GOBIN=$(BIN) GOFLAGS= go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	@mv $(BIN)/golangci-lint $@

$(ACTIONLINT):
	@echo "installing actionlint $(ACTIONLINT_VERSION)"
	@GOBIN=$(BIN) GOFLAGS= go install github.com/rhysd/actionlint/cmd/actionlint@$(ACTIONLINT_VERSION)
	@mv $(BIN)/actionlint $@

$(GREMLINS):
	@echo "installing gremlins $(GREMLINS_VERSION)"
	@GOBIN=$(BIN) GOFLAGS= go install github.com/go-gremlins/gremlins/cmd/gremlins@$(GREMLINS_VERSION)
	@mv $(BIN)/gremlins $@

# Without pip, because Debian packs venv without it; pip of the system installs
# into the environment from outside.
$(VENV)/bin/python:
	@$(PYTHON) -m venv --without-pip $(VENV)

PIP = $(PYTHON) -m pip --python $(VENV)/bin/python install --quiet --disable-pip-version-check --no-input

$(CFN_LINT): | $(VENV)/bin/python
	@echo "installing cfn-lint $(CFN_LINT_VERSION)"
	@$(PIP) cfn-lint==$(CFN_LINT_VERSION)
	@touch $@

$(MOTO): | $(VENV)/bin/python
	@echo "installing moto $(MOTO_VERSION)"
	@$(PIP) 'moto[server]==$(MOTO_VERSION)'
	@touch $@

$(PYSPARK): | $(VENV)/bin/python
	@echo "installing PySpark $(PYSPARK_VERSION), about 450 MB"
	@$(PIP) pyspark==$(PYSPARK_VERSION)
	@touch $@

$(SAM): | $(VENV)/bin/python
	@echo "installing the SAM CLI $(SAM_VERSION)"
	@$(PIP) aws-sam-cli==$(SAM_VERSION)
	@touch $@
