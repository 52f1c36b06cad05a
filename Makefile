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
DATABRICKS_PYTHON_VERSION := 0.156.0
BOTO3_VERSION := 1.44.8
OPENTOFU_VERSION := v1.10.10
DATABRICKS_PROVIDER_VERSION := v1.123.0
PYSPARK_VERSION := 4.0.1
SAM_VERSION := 1.161.1
CHECKOV_VERSION := 3.3.30
GITLEAKS_VERSION := v8.30.1
CYCLONEDX_VERSION := v1.10.0
GO_LICENSES_VERSION := v1.6.0

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
# An environment of its own, because other tools want boto3 at other versions.
APPLICATIONS := $(BIN)/consumers/databricks-sdk-$(DATABRICKS_PYTHON_VERSION)-boto3-$(BOTO3_VERSION)
TOFU_DIR := $(BIN)/tofu-$(OPENTOFU_VERSION)-databricks-$(DATABRICKS_PROVIDER_VERSION)
TOFU := $(TOFU_DIR)/tofu
TOFU_PROVIDER := $(TOFU_DIR)/terraform-provider-databricks
PYSPARK := $(VENV)/pyspark-$(PYSPARK_VERSION)
SAM := $(VENV)/aws-sam-cli-$(SAM_VERSION)
GITLEAKS := $(BIN)/gitleaks-$(GITLEAKS_VERSION)
CYCLONEDX := $(BIN)/cyclonedx-gomod-$(CYCLONEDX_VERSION)
GO_LICENSES := $(BIN)/go-licenses-$(GO_LICENSES_VERSION)-$(shell go env GOVERSION)
# checkov pins what cfn-lint needs in other versions.
CHECKOV_VENV := $(BIN)/checkov-$(CHECKOV_VERSION)
CHECKOV := $(CHECKOV_VENV)/installed

FUNCTIONS := rotate audit revoke
TEMPLATES := template.yaml $(wildcard infra/*.yaml)

# What a function's archive may weigh, in bytes: it is fetched at a cold start.
MAX_ZIP := 8000000

# The build of the deployed binaries, here and within sam build, which passes
# the environment on to go build. Without CGO_ENABLED=0 a machine of Lambda's own
# kind would link them to its C library.
LAMBDA_ENV = CGO_ENABLED=0 GOOS=linux GOARCH=arm64 GOFLAGS="$(LAMBDA_GOFLAGS)"
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
	@go test -count=1 -run '^TestCrashMatrix$$' -v ./functions/rotate/rotation -crash.stride 1 | grep -v '^=== '
	@go test -count=1 -run '^(TestCrashMatrix|TestInterleaved)$$' -v ./functions/revoke/revocation -crash.stride 1 | grep -v '^=== '

.PHONY: soak
soak: ## Play SOAK_CHECKS random scripts of months with faults (takes long)
	@dir=$$(mktemp -d); trap 'rm -rf $$dir' EXIT; \
	go test -c -o $$dir/soak ./functions/rotate/rotation; \
	each=$$(( ($(SOAK_CHECKS) + $(SOAK_SHARDS) - 1) / $(SOAK_SHARDS) )); pids=(); \
	for (( i = 0; i < $(SOAK_SHARDS); i++ )); do \
		(cd functions/rotate/rotation && exec $$dir/soak -test.run '^TestSoak$$' -test.timeout 0 -test.v -rapid.checks=$$each) & pids+=($$!); \
	done; \
	failed=0; for pid in "$${pids[@]}"; do wait $$pid || failed=1; done; (( ! failed )); \
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

# A mutant's time limit is a multiple of the first run's, which must not be a
# cached one.
.PHONY: mutation
mutation: $(GREMLINS) ## Change the plan and the engine at random, and see that tests notice (takes long)
	@GOFLAGS="-vet=off -ldflags=-w -count=1" RAPID_NOFAILFILE=1 RAPID_SHRINKTIME=1ms $(GREMLINS) unleash ./functions/rotate/rotation

# BENCH takes the flags of infra/bench, -help lists them. Without boto3 the
# functions are compared with the bare one alone.
.PHONY: bench
bench: ## Measure throughput, calls, queue, memory and start of the functions (takes long)
	@args=(-out dist); \
	if $(MAKE) -s $(APPLICATIONS) 2>/dev/null; then args+=(-python $(BIN)/consumers/bin/python); fi; \
	go run ./infra/bench "$${args[@]}" $(BENCH)

# Takes some five minutes. What it prints is of this machine; the bound is not.
.PHONY: bench-audit
bench-audit: ## Audit the largest account there may be: time over the bound, peak memory
	@dir=$$(mktemp -d); trap 'rm -rf $$dir' EXIT; \
	go build -o $$dir/auditbench ./infra/auditbench; $$dir/auditbench

.PHONY: sabotage
sabotage: ## Break the rotation on purpose, and see that the tests notice
	@go run ./infra/sabotage

.PHONY: check
check: modules format vet lint template workflows secrets sam reproducible licenses conformance sql-check browser consumers sabotage ## Run everything that the gate needs, apart from the tests

.PHONY: build
build: ## Build the functions for Lambda into dist/
	@for name in $(FUNCTIONS); do \
		$(LAMBDA_ENV) go build -o dist/$$name/bootstrap ./functions/$$name; \
	done
	@ls -l dist/*/bootstrap

# The archiver is the one of aws-lambda-go, at the version of go.mod. It writes
# no times, so that the same binary gives the same archive.
.PHONY: zips
zips: build ## Pack the functions for upload, and weigh them
	@for name in $(FUNCTIONS); do \
		go run github.com/aws/aws-lambda-go/cmd/build-lambda-zip -o dist/$$name.zip dist/$$name/bootstrap >/dev/null; \
		size=$$(wc -c <dist/$$name.zip); echo "dist/$$name.zip: $$size bytes"; \
		(( size <= $(MAX_ZIP) )) || { echo "$$name is heavier than $(MAX_ZIP) bytes"; exit 1; }; \
	done

# Two clones at places of different names; the second compiles everything anew.
.PHONY: reproducible
reproducible: ## Build what is committed twice, and compare the archives
	@dir=$$(mktemp -d); trap 'rm -rf $$dir' EXIT; \
	git clone --quiet --no-hardlinks . $$dir/first; \
	git clone --quiet --no-hardlinks $$dir/first $$dir/a/second/one; \
	$(MAKE) -C $$dir/first zips >$$dir/log 2>&1 || { cat $$dir/log; exit 1; }; \
	GOCACHE=$$dir/cache $(MAKE) -C $$dir/a/second/one zips >$$dir/log 2>&1 || { cat $$dir/log; exit 1; }; \
	diff <(cd $$dir/first/dist && sha256sum *.zip) <(cd $$dir/a/second/one/dist && sha256sum *.zip) \
		|| { echo "reproducible: two builds differ"; exit 1; }; \
	grep bytes $$dir/log; echo "two builds of $$(git -C $$dir/first rev-parse --short HEAD) are identical"

# What is handed out with a version: archives, what is in them, under which
# licences, and the sums of all.
.PHONY: release
release: zips licenses $(CYCLONEDX) ## Archives, SBOMs, licences and checksums in dist/
	@for name in $(FUNCTIONS); do \
		$(LAMBDA_ENV) $(CYCLONEDX) app -json -licenses -noserial -main functions/$$name -output dist/$$name.cdx.json . 2>dist/sbom.log \
			|| { cat dist/sbom.log; exit 1; }; \
		echo "dist/$$name.cdx.json: $$(grep -c '"type": "library"' dist/$$name.cdx.json) modules"; \
	done
	@cd dist && sha256sum *.zip *.cdx.json licenses.csv >SHA256SUMS && cat SHA256SUMS

# go-licenses knows no FreeType licence: github.com/golang/freetype is under the
# FTL, which asks for a mention, or the GPL, as one chooses.
.PHONY: licenses
licenses: $(GO_LICENSES) ## List the licences of what is deployed; fail on one that we do not ship
	@mkdir -p dist; \
	$(LAMBDA_ENV) $(GO_LICENSES) report $(FUNCTIONS:%=./functions/%) --ignore github.com/golang/freetype --ignore $$(go list -m) \
		--template infra/licenses.tpl >dist/licenses.csv 2>dist/licenses.log || { cat dist/licenses.log; exit 1; }; \
	echo "github.com/golang/freetype,FTL" >>dist/licenses.csv; \
	if grep -vE ',(Apache-2.0|MIT|BSD-2-Clause|BSD-3-Clause|ISC|FTL)$$' dist/licenses.csv; then \
		echo "licenses: the above are not among those that we ship"; exit 1; \
	fi; \
	echo "dist/licenses.csv: $$(wc -l <dist/licenses.csv) packages, all under licences that we ship"

.PHONY: secrets
secrets: $(GITLEAKS) ## Search the repository's history for secrets
	@$(GITLEAKS) git --no-banner --redact --log-level=warn .

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
template: ## Lint the templates, and scan them for weaknesses
	@if ! $(MAKE) -s $(CFN_LINT) 2>/dev/null; then \
		$(call skip,cfn-lint,make $(CFN_LINT) fails); \
	else \
		$(VENV)/bin/cfn-lint $(TEMPLATES); \
		sed '/^Transform:/d' template.yaml | $(VENV)/bin/cfn-lint --mandatory-checks W3037 --ignore-checks E I W; \
	fi
	@if ! $(MAKE) -s $(CHECKOV) 2>/dev/null; then \
		$(call skip,checkov,make $(CHECKOV) fails); \
	else \
		for file in $(TEMPLATES); do \
			$(CHECKOV_VENV)/bin/checkov --framework cloudformation --skip-download --quiet --compact -f $$file; \
		done; \
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
		CGO_ENABLED=0 GOFLAGS="$(LAMBDA_GOFLAGS)" $(VENV)/bin/sam build; \
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
		(cd $$dir && $(VENV)/bin/python $(CURDIR)/infra/sqlcheck/spark.py $$dir $(CURDIR)/shared/usagelog/sql 2>$$dir/log) \
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

# Takes three quarters of a minute: the grace period is some seconds, and it is
# waited for. OpenTofu and the provider are compiled once, which takes minutes.
.PHONY: consumers
consumers: ## Run applications in Go and Python, and OpenTofu, through rotations
	@args=(); skipped=(); \
	if $(MAKE) -s $(APPLICATIONS) 2>/dev/null; then \
		args+=(-python $(BIN)/consumers/bin/python); \
	else \
		skipped+=("consumers in Python: make $(APPLICATIONS) fails"); \
	fi; \
	if $(MAKE) -s $(TOFU) $(TOFU_PROVIDER) 2>/dev/null; then \
		args+=(-tofu $(TOFU) -provider $(TOFU_DIR)); \
	else \
		skipped+=("consumers with OpenTofu: make $(TOFU) $(TOFU_PROVIDER) fails"); \
	fi; \
	go run ./infra/applications "$${args[@]}"; \
	for line in "$${skipped[@]}"; do $(call skip,$${line%%:*},$${line#*: }); done

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

# Its own build sets the version so.
$(GITLEAKS):
	@echo "installing gitleaks $(GITLEAKS_VERSION)"
	@GOBIN=$(BIN) GOFLAGS= go install -ldflags=-X=github.com/zricethezav/gitleaks/v8/version.Version=$(GITLEAKS_VERSION) github.com/zricethezav/gitleaks/v8@$(GITLEAKS_VERSION)
	@mv $(BIN)/gitleaks $@

$(CYCLONEDX):
	@echo "installing cyclonedx-gomod $(CYCLONEDX_VERSION)"
	@GOBIN=$(BIN) GOFLAGS= go install github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@$(CYCLONEDX_VERSION)
	@mv $(BIN)/cyclonedx-gomod $@

$(GO_LICENSES):
	@echo "installing go-licenses $(GO_LICENSES_VERSION)"
	@GOBIN=$(BIN) GOFLAGS= go install github.com/google/go-licenses@$(GO_LICENSES_VERSION)
	@mv $(BIN)/go-licenses $@

$(CHECKOV):
	@echo "installing checkov $(CHECKOV_VERSION)"
	@$(PYTHON) -m venv --without-pip $(CHECKOV_VENV)
	@$(PYTHON) -m pip --python $(CHECKOV_VENV)/bin/python install --quiet --disable-pip-version-check --no-input checkov==$(CHECKOV_VERSION)
	@touch $@

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

$(APPLICATIONS):
	@echo "installing databricks-sdk $(DATABRICKS_PYTHON_VERSION) and boto3 $(BOTO3_VERSION)"
	@$(PYTHON) -m venv --without-pip $(BIN)/consumers
	@$(PYTHON) -m pip --python $(BIN)/consumers/bin/python install --quiet --disable-pip-version-check --no-input \
		databricks-sdk==$(DATABRICKS_PYTHON_VERSION) boto3==$(BOTO3_VERSION)
	@touch $@

# Built where they were unpacked: OpenTofu replaces a module, and go install takes
# no such program; the provider's module cannot be asked for by go install where
# the proxy lists no versions of it.
define install_module
	@echo "installing $(1) $(2): this compiles for minutes, once"
	@mkdir -p $(TOFU_DIR)
	@cd $(BIN) && dir=$$(GOFLAGS= go mod download -json $(1)@$(2) | sed -n 's/^\t"Dir": "\(.*\)",*$$/\1/p') && cd "$$dir" && \
		GOWORK=off GOFLAGS= go build '-ldflags=-s -w' -o $@ $(3)
endef

$(TOFU):
	$(call install_module,github.com/opentofu/opentofu,$(OPENTOFU_VERSION),./cmd/tofu)

$(TOFU_PROVIDER):
	$(call install_module,github.com/databricks/terraform-provider-databricks,$(DATABRICKS_PROVIDER_VERSION),.)

$(PYSPARK): | $(VENV)/bin/python
	@echo "installing PySpark $(PYSPARK_VERSION), about 450 MB"
	@$(PIP) pyspark==$(PYSPARK_VERSION)
	@touch $@

$(SAM): | $(VENV)/bin/python
	@echo "installing the SAM CLI $(SAM_VERSION)"
	@$(PIP) aws-sam-cli==$(SAM_VERSION)
	@touch $@
