# Everything a person runs. `make help` lists it.
SHELL := /bin/sh
STACK ?= demo
SUPPLY ?=
VM_SUITE ?= bookworm
PYTHON := .venv/bin/python
CLI := $(PYTHON) -m infra.cli
ENGINE_REQUIREMENTS := supply/images/trader/requirements.txt
export PYTHONPATH := $(CURDIR)/src:$(CURDIR)
export PATH := $(CURDIR)/.venv/bin:$(PATH)
BEGUN := $(shell date +%s)

.DEFAULT_GOAL := help
.PHONY: help venv up down purge status refill drift preview backup backups restore restore-test logs certificate images lock test test-tools check unit contract molecule molecule-quick stack vm vm-where-quick vm-lynis delivery bench pythons docs clean-room web-build web-check web-test web-types drill ticks bench-ticks dashboards-check

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  STACK=demo|dev|ticks|base|prod|full chooses the stack, SUPPLY=auto|upstream|packages where components come from"

venv:
	@scripts/bootstrap.sh

up: venv ## install what is missing, deploy the stack, prove that telemetry arrives
	@$(PYTHON) scripts/up.py --begun $(BEGUN) --stack $(STACK) $(if $(SUPPLY),--supply $(SUPPLY))

down: venv ## stop and remove the stack's containers; its data stays
	@$(CLI) down --stack $(STACK)

purge: venv ## remove the stack with its data; asks, or YES=1
	@$(CLI) purge --stack $(STACK) $(if $(YES),--yes)

status: venv ## health of each component
	@$(CLI) status --stack $(STACK)

preview: venv ## what `make up` would change
	@$(CLI) preview --stack $(STACK)

refill: venv ## bring lines of containers again that were lost when the log store or the collector ended
	@$(CLI) refill --stack $(STACK)

drift: venv ## compare what is there with what was declared, in every layer; exit 2 on drift, 1 when a check broke; INVENTORY, JUNIT=file
	@$(CLI) drift --stack $(STACK) --layer all $(if $(INVENTORY),--inventory $(INVENTORY)) $(if $(JUNIT),--junit $(JUNIT))

backup: venv ## save every store while it runs; STORE=name for one
	@$(CLI) backup --stack $(STACK) $(if $(STORE),--store $(STORE))

backups: venv ## list the backups there are
	@$(CLI) backups --stack $(STACK)

restore: venv ## put stores back as they were saved; asks, or YES=1; STORE=name, BACKUP=which
	@$(CLI) restore --stack $(STACK) $(if $(STORE),--store $(STORE)) $(if $(BACKUP),--backup $(BACKUP)) $(if $(YES),--yes)

restore-test: venv ## try the restore of the last backups in a scratch place, and compare
	@$(CLI) restore-test --stack $(STACK) $(if $(STORE),--store $(STORE))

logs: venv ## newest records of the strategies; FOLLOW=1 goes on
	@url=$$($(CLI) address victorialogs --stack $(STACK)) && \
	$(PYTHON) -m crowsnest.logs recent --url "$$url" --filter 'source:strategy' --limit 20 $(if $(FOLLOW),--follow)

certificate: venv ## root certificate of the gateway's own authority, to be trusted: make -s certificate > crowsnest-root.crt
	@$(CLI) certificate --stack $(STACK)

images: venv ## pull or build the stack's images beforehand
	@$(PYTHON) -m supply images --stack $(STACK) $(if $(SUPPLY),--supply $(SUPPLY))

lock: venv ## write requirements.txt and catalogue.lock anew (needs the network)
	@scripts/lock.sh

test: test-tools check web-check molecule-quick vm-where-quick web-build ## what every change has to pass: everything but the slow proofs below
	@$(PYTHON) -m pytest tests/unit
	@$(PYTHON) -m tests.suites

test-tools:
	@scripts/bootstrap.sh $(ENGINE_REQUIREMENTS)
	@scripts/test_tools.sh

check: test-tools ## formatting, lint, types, import rules, Ansible lint
	@$(PYTHON) -m ruff format --check . && $(PYTHON) -m ruff check .
	@$(PYTHON) -m mypy
	@lint-imports
	@yamllint --strict .
	@ansible-lint --offline

unit: test-tools ## tests without Docker, under a minute
	@$(PYTHON) -m pytest tests/unit

contract: test-tools ## the supply and the Docker provider against a real daemon
	@$(PYTHON) -m pytest tests/contract

molecule-quick: test-tools
	@MOLECULE_QUICK=1 tests/molecule/run.sh

molecule: test-tools ## every role in containers of Debian 12 and 13, each control undone in turn: about 45 minutes
	@tests/molecule/run.sh
	@MOLECULE_SUITE=trixie tests/molecule/run.sh --controls

stack: test-tools web-build ## whole stacks, suite by suite, where something has changed since it passed; SUITE=name for one
	@$(PYTHON) -m tests.suites $(SUITE)

# What the machine's outcome depends on: all that is placed on it, run on it, or looks at it.
VM_INPUTS := catalogue.yml Pulumi.yaml Pulumi.demo.yaml ansible.cfg site.yml playbooks plugins roles inventories infra supply src \
	scripts requirements.txt tests/vm tests/controls.py tests/mutation.py tests/figures.py tests/molecule/fingerprint.sh

vm: test-tools ## harden, reboot, attack and undo a virtual machine; VM_SUITE=trixie for Debian 13
	@CROWSNEST_VM_SUITE=$(VM_SUITE) $(PYTHON) -m tests.passed vm-$(VM_SUITE) $(VM_INPUTS) -- $(PYTHON) -m pytest -v tests/vm

# Emulated, the machine takes an hour: more than a check of every change may.
vm-where-quick: test-tools
	@if $(PYTHON) -c 'from tests.vm.machine import has_kvm; raise SystemExit(not has_kvm())'; then $(MAKE) --no-print-directory vm; \
	else echo "vm: NOT RUN: this processor runs no guests, and an emulated machine takes an hour; \`make vm\` runs it"; fi

vm-lynis: test-tools ## Lynis on a hardened virtual machine: version, index, and what it still suggests
	@CROWSNEST_VM_SUITE=$(VM_SUITE) $(PYTHON) -m tests.vm.lynis

delivery: test-tools ## what the container way loses and repeats, by event, at full length: about 40 minutes
	@CROWSNEST_DELIVERY=full $(PYTHON) -m pytest -v tests/e2e/test_delivery.py

ticks: test-tools ## rows of QuestDB against lines of the log file, by event, at full length, and the source's way: about 40 minutes
	@CROWSNEST_TICKS=full $(PYTHON) -m pytest -v tests/e2e/test_ticks.py

bench-ticks: test-tools ## rows a second from a log file into QuestDB, and what each part takes
	@$(PYTHON) -m tests.bench.bench_ticks

drill: test-tools ## make an alert happen and see it arrive: ALERT=name, or all of them
	@$(PYTHON) -m scripts.drill $(ALERT)

bench: test-tools ## cost of log calls, metrics, alerts and the log API as ratios; strategies with and without all of it; the trading API over a million rows
	@$(PYTHON) -m tests.bench.bench_logs cost
	@$(PYTHON) -m tests.bench.bench_metrics
	@$(PYTHON) -m tests.bench.bench_alerts
	@$(PYTHON) -m tests.bench.bench_api
	@$(PYTHON) -m tests.bench.bench_trading
	@$(PYTHON) -m tests.bench.bench_strategy

dashboards-check: test-tools ## ask every question of every panel of the running stack's stores: STACK=full, SINCE=24h
	@$(PYTHON) -W ignore::DeprecationWarning -m scripts.dashboards_check --stack $(STACK) $(if $(SINCE),--since $(SINCE))

docs: venv ## write what is derived: README of each role, control matrix, collectors' rules, alerts, dashboards, the API's description
	@$(PYTHON) scripts/role_docs.py
	@$(PYTHON) -m scripts.collector_files
	@$(PYTHON) -m crowsnest.api openapi --output src/crowsnest/api/openapi.json
	@$(PYTHON) -m scripts.rules
	@$(PYTHON) -m dashboards

pythons: venv ## the library's tests on other Python versions: PYTHONS="python3.12 /path/to/python3.13"
	@scripts/test_pythons.sh $(PYTHONS)

clean-room: venv ## `make up` from a fresh clone on a bare Debian 12, in a container
	@tests/clean_room.sh

# Node and npm are Debian's, in an image of their own: what this machine has of them does not matter.
web-build: test-tools ## build the log viewer into web/dist
	@$(PYTHON) -m supply web build

web-check: test-tools ## log viewer: lint, types, unit tests, size, and that its types are the API's
	@$(PYTHON) -m supply web check

web-test: web-build ## log viewer in Chromium, also through the gateway of a real stack: what people do, axe in both themes, figures
	@$(PYTHON) -m pytest tests/browser

web-types: test-tools ## log viewer: types of the API from its OpenAPI description (`make docs`)
	@$(PYTHON) -m supply web types
