# The commands of this project. `make run` and `make test` are all a newcomer needs: each first
# installs what it lacks (scripts/setup.sh) and says so.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test soak fuzz versions partners chart pages docs lint bench profile generate image noetl cluster cluster-down e2e clean
MAKEFLAGS += --no-print-directory

# rustup puts cargo where a shell that started earlier does not look yet.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(CURDIR)/.cache/cargo-tools/bin

# One variable says where PostgreSQL's programs are, to the set-up, the tests and the demo.
ifdef PG_BIN
export NOETL_METRICS_PG_BIN ?= $(PG_BIN)
endif

ARGS ?=
KEEP ?=
target := $(or $(CARGO_TARGET_DIR),target)
venv := .cache/venv/bin
python := $(venv)/python
shell_scripts := $(wildcard scripts/*.sh scripts/profile/*.sh e2e/*.sh e2e/*/*.sh fuzz/*.sh docs/examples/clients/*.sh) .ci/run

help: ## Say what there is (this text)
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

run: ## Install what is missing, build, start the demo (ARGS="--listen 127.0.0.1:9000"); Ctrl-C ends it
	@scripts/setup.sh run
	cargo build --release --locked
	@exec $(target)/release/noetl-metrics demo $(ARGS)

test: ## Install what is missing, run all tests: unit, contract, and against real partners
	@scripts/setup.sh test
	scripts/rust-tests.sh
	@$(MAKE) partners chart pages

soak: ## An hour of faults, then the store against its model for hours (FAULTS, HISTORIES, KILLS, BUSY seconds), then fuzz; goes on where it was ended
	@scripts/soak.sh
	@RESUME=1 EACH=$(or $(SECONDS),600) scripts/fuzz.sh

fuzz: ## Coverage-guided fuzz tests of every parser of input (SECONDS=600 for each, ARGS="report words")
	@EACH=$(or $(SECONDS),600) scripts/fuzz.sh $(ARGS)

versions: ## The store's tests on other major versions of PostgreSQL (ARGS="16 18")
	@scripts/setup.sh run
	@scripts/versions.sh $(ARGS)

partners: ## Only the tests against real partners (ARGS="-k pgbouncer")
	@scripts/setup.sh test
	cargo build --locked
	scripts/generate.sh --check
	$(python) -m pytest tests/partners $(ARGS)

chart: ## Only the tests of the Helm chart and its dashboards (ARGS="-k rights")
	@scripts/setup.sh test
	cargo build --locked
	$(python) -m pytest tests/chart $(ARGS)

pages: ## Only the tests of the documentation (ARGS="-k links")
	@scripts/setup.sh test
	cargo build --locked
	$(python) -m pytest tests/docs $(ARGS)

docs: ## Build the documentation as a site with a search, in target/site
	@scripts/setup.sh docs
	@$(python) scripts/pages --site target/site

lint: ## Formatting, clippy, licences and sources of the crates, shell and Python scripts
	@scripts/setup.sh lint
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo deny --locked check licenses bans sources
	@scripts/advisories.sh
	$(venv)/shellcheck --check-sourced --external-sources $(shell_scripts)
	$(venv)/ruff check --quiet tests scripts e2e
	$(venv)/ruff format --quiet --check tests scripts e2e

bench: ## Measure against peers on this machine (ROW=4, QUICK=1 for a short form)
	@ROW=$(ROW) QUICK=$(QUICK) scripts/bench.sh $(ARGS)

profile: ## Flame graphs of a row of the benchmarks (ROW=1), in target/profile
	@ROW=$(ROW) scripts/profile.sh

generate: ## Write what is made from the program: docs/openapi.json, docs/cli.md, crds/, docs/crd.md; the dashboards; the chart's tables
	@scripts/setup.sh generate
	cargo build --locked
	scripts/generate.sh
	$(python) scripts/dashboards
	$(python) scripts/chart_values.py
	$(python) scripts/pages

image: ## Build the container image, an OCI archive in target/image, and its SBOM (PROFILE=e2e is quicker)
	@scripts/setup.sh image
	scripts/image.sh

noetl: ## Build NoETL as it is published, for the tests that run it (some twenty minutes, once)
	@scripts/setup.sh noetl
	e2e/noetl/build.sh

cluster: ## Build, then start a one-machine Kubernetes for tests (needs root or sudo)
	@scripts/setup.sh e2e
	e2e/cluster/build.sh
	e2e/cluster/up.sh $(ARGS)

cluster-down: ## End that Kubernetes (ARGS=--purge: and forget its certificates and images)
	e2e/cluster/down.sh $(ARGS)

e2e: ## End-to-end tests on a Kubernetes of this machine (ARGS="-k plain", KEEP=1 leaves it up)
	@KEEP=$(KEEP) scripts/e2e.sh $(ARGS)

clean: ## Remove all that was built or fetched here (the demo's data stays)
	rm -rf $(target) .cache
