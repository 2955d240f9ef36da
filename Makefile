# The one door: every command that a person or CI uses. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
PYTHON := $(BIN)/python
# More words for the command behind a target: make test ARGS="-k ingress"
ARGS ?=
# What demo, up and down run on: embedded (processes), compose (containers), kubernetes (demo only)
STACK ?= embedded
STACK_OPTION = --stack $(STACK)

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Install the Python packages into .venv; quick when nothing has changed
	@tools/setup.sh

.PHONY: ui
ui: ## Build the admin's desk; quick when nothing has changed
	@tools/ui.sh build

.PHONY: sdk
sdk: setup ## Make openapi.json from the routes, and the TypeScript SDK from it
	@$(PYTHON) -m admin_api.openapi > services/admin-api/openapi.json
	@tools/ui.sh sdk

.PHONY: demo
demo: setup ## Start everything, run one order through it, show the codes behind the link, stop everything
	@$(PYTHON) -m embedded demo $(STACK_OPTION)

.PHONY: up
up: setup ## Start everything and leave it running; WORKERS=fulfillment=2,kinguin=2,delivery=2 runs more of a kind
	@tools/ui.sh build || echo "The desk could not be built; everything else works without it." >&2
	@$(PYTHON) -m embedded up $(STACK_OPTION)

.PHONY: down
down: setup ## Stop what `make up` started
	@$(PYTHON) -m embedded down $(STACK_OPTION)

.PHONY: status
status: setup ## Tell what runs
	@$(PYTHON) -m embedded status

.PHONY: rebuild-read-model
rebuild-read-model: setup ## Fill the read tables from Kafka anew beside the running system, compare, put right what differs
	@$(PYTHON) -m embedded exec --service sink $(PYTHON) -m admin_api.rebuild $(ARGS)

.PHONY: test
# By file, because tests that share a running system are in one file.
test: setup ## Run all tests; ARGS goes to pytest
	@$(PYTHON) -m embedded fetch
	@tools/ui.sh build
	@tools/ui.sh test
	@tools/identity-provider.sh
	@$(PYTHON) -m pytest -n 2 --dist loadfile $(ARGS)

.PHONY: fuzz-api
fuzz-api: setup ## Ask the admin API N (160) times at each endpoint and phase, 10,000 times at least, for what its document does not allow
	@FUZZ_EXAMPLES=$(or $(N),160) FUZZ_PHASES=examples,coverage,fuzzing $(PYTHON) -m pytest -q tests/integration/admin_api/test_fuzz.py $(ARGS)

.PHONY: simulate
# JOBS processes (default: one for each core), from seed FROM on.
simulate: setup ## Run N (100000) schedules of crashes and faults through the whole flow in virtual time
	@$(PYTHON) -m tests.simulation $(or $(N),100000) --start $(or $(FROM),0) $(if $(JOBS),--jobs $(JOBS))

.PHONY: bench
bench: setup ## Measure the ingress beside a bare echo, and the way from payment to mail; writes docs/benchmarks.md (PROFILE=1: by py-spy)
	@$(PYTHON) -m bench $(if $(PROFILE),--profile .run/profile) $(ARGS)

.PHONY: seed-read-model
seed-read-model: setup ## Fill the empty read model of DATABASE_URL=, else of the running stack, with N notifications (10000000) and a tenth as many orders
	@$(if $(DATABASE_URL),DATABASE_URL=$(DATABASE_URL),$(PYTHON) -m embedded exec --service sink) $(PYTHON) -m bench.seeding $(or $(N),10000000) $(ARGS)

.PHONY: bench-desk
bench-desk: setup ## Measure all that the desk asks on a filled read model, of DATABASE_URL= or of the running stack; writes docs/desk.md
	@$(if $(DATABASE_URL),DATABASE_URL=$(DATABASE_URL),$(PYTHON) -m embedded exec --service sink) $(PYTHON) -m bench.desk

.PHONY: chaos
chaos: setup ## Break the running system for DURATION=300 seconds by SEED=, let it heal, compare to the last item
	@$(PYTHON) -m chaos $(if $(DURATION),--duration $(DURATION)) $(if $(SEED),--seed $(SEED)) $(ARGS)

.PHONY: lint
lint: setup ## Check style, types and who imports whom
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(PYTHON) -m embedded.kustomize
	@tools/ui.sh lint

.PHONY: trace
trace: setup ## Run one order through, as the demo does, and show its trace from webhook to mail
	@$(PYTHON) -m embedded.spans

.PHONY: alerts-test
alerts-test: ## Check the alert rules and run their tests with promtool (built once with go; skipped where there is none)
	@tools/alerts-test.sh

.PHONY: format
format: setup ## Put the code into its standard form
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/ruff format
	@tools/ui.sh format

.PHONY: manifests
manifests: setup ## Write the Kubernetes manifests that follow from the contracts
	@$(PYTHON) -m embedded.manifests

.PHONY: images
images: ## Build the image of each service as bitloot/SERVICE:TAG (dev)
	@tools/images.sh

.PHONY: lock
lock: setup ## Pin the newest versions that the pyproject.toml files allow; ARGS="--upgrade-package X" for one
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-annotate --no-header --no-emit-index-url --no-emit-package bitloot \
	  --group pyproject.toml:dev shared/pyproject.toml services/*/pyproject.toml deploy/*/pyproject.toml \
	  $(or $(ARGS),--upgrade) --output-file requirements/all.lock
	@# What an image holds: only what its service needs, in the versions of all.lock.
	@for image in services/ingress services/fulfillment services/delivery services/admin-api deploy/sandbox; do \
	  $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-annotate --no-header --no-emit-index-url --no-emit-package bitloot \
	    --constraint requirements/all.lock $$image/pyproject.toml \
	    --output-file requirements/$$(basename $$image).lock; \
	done
