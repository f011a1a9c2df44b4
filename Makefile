# `make demo` and `make test` are the two commands to know; `make help` lists all.
#
# A target first sets up what it needs: in .venv, or for the benchmarks' peers in .bench-venv. That takes some
# minutes once, and happens again only when pyproject.toml or the pinned versions change.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules --no-print-directory

NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))'
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	if $$name $(NEW_ENOUGH) 2>/dev/null; then echo $$name; break; fi; done)
PYTEST := .venv/bin/python -m pytest -n 2 --dist loadgroup
ARGS ?=
ROWS ?=

.PHONY: demo install test test-all check docs bench clean help chromium

demo: .venv/run ## run the router's experiment, cold and warm, to its report
	@.venv/bin/rayrl run jobs/experiments/router.yaml

install: .venv/run ## set up rayrl in .venv, and run nothing

test: .venv/dev chromium ## run the tests; ARGS="-k dataset" for some of them
	@$(PYTEST) $(ARGS)

test-all: .venv/dev chromium ## run those as well that take minutes or kill processes
	@$(PYTEST) -m "" --hypothesis-profile=new $(ARGS)

check: .venv/dev ## lint, check the format and the types
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy

docs: .venv/dev ## write docs/experiment.md from the models that read the experiment file
	@.venv/bin/python docs/write_reference.py

bench: .bench-venv/bench ## measure against RLlib, SB3 and other libraries; ROWS=rollout for some of the rows
	@.bench-venv/bin/python -m tests.benchmarks $(ROWS)

clean: ## remove the environments, caches and build outputs; run folders stay
	@rm -rf .venv .bench-venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find rayrl jobs tests -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.venv/run .venv/dev: pyproject.toml constraints.txt
.bench-venv/bench: pyproject.toml constraints.txt constraints-bench.txt
.venv/dev: EXTRAS := [dev,mujoco]
.venv/dev: SERVES := .venv/run
.bench-venv/bench: EXTRAS := [bench,mujoco]

# The file that this leaves behind says what the environment was made for. Modules are compiled when they are
# first imported, which most never are.
.venv/run .venv/dev .bench-venv/bench:
	@if ! $(@D)/bin/python -m pip --version >/dev/null 2>&1; then \
		if ! $(or $(PYTHON),false) $(NEW_ENOUGH) 2>/dev/null; then \
			echo "rayrl needs Python 3.11 or newer; $(if $(PYTHON),$(PYTHON) is not,there is none on the PATH)." >&2; \
			echo "Install one, or name it: make PYTHON=/path/to/python $(MAKECMDGOALS)" >&2; \
			exit 1; \
		fi; \
		$(PYTHON) -m venv --clear $(@D); \
	fi
	@echo "setting up $(@D), which takes some minutes"
	@$(@D)/bin/python -m pip install -qq --no-input --disable-pip-version-check --no-compile \
		--constraint $(lastword $^) --editable '.$(EXTRAS)'
	@touch $@ $(SERVES)

chromium:
	@for name in chromium chromium-browser google-chrome; do \
		if command -v $$name >/dev/null; then exit 0; fi; \
	done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing Chromium for the tests of the report's page"; \
		if { apt-get -qq update && DEBIAN_FRONTEND=noninteractive \
			apt-get -qq install --no-install-recommends chromium; } >/dev/null; then exit 0; fi; \
	fi; \
	echo "There is no Chromium, and it cannot be installed from here: the tests of the report's page are skipped."
