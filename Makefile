# The few commands of the house. `make help` lists them. Python >= 3.11, git and make are all that must be there.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

export UV_PYTHON_DOWNLOADS := never
export UV_PROJECT_ENVIRONMENT ?= $(CURDIR)/.venv
unexport PYTHONDONTWRITEBYTECODE   # without byte code Airflow takes twice as long to start

PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null || echo $(CURDIR)/.uv/bin/uv)
RUN := $(UV) run --frozen --all-extras

.PHONY: help setup packages demo test peers peers-build peers-pages check bench bench-peers docs clean test-airflow-matrix

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 24

setup: .venv/.ready ## Make the environment (.venv) from uv.lock

.venv/.ready: uv.lock pyproject.toml
	@command -v $(UV) >/dev/null 2>&1 || { $(PYTHON) -m venv .uv && .uv/bin/pip install --quiet "uv>=0.9"; }
	$(UV) sync --frozen --all-extras --quiet
	@# Compiled once here, or every Airflow process would compile for itself.
	@.venv/bin/python -m compileall -q -j 0 .venv/lib >/dev/null 2>&1 || true
	@touch $@

packages: ## Install the Debian packages that tests use (where apt-get may)
	@./tests/packages.sh

demo: setup $(if $(filter real,$(PEERS)),peers-build) ## The whole loop on this machine (ENGINE=argocd|flux, KEEP=1, PEERS=real: no simulator)
	$(RUN) $(if $(filter real,$(PEERS)),python -m tests.peers.demo,loopseal demo) --engine $(or $(ENGINE),argocd) $(if $(KEEP),--keep)

test: setup packages ## Everything this machine can run
	$(RUN) python -m pytest -n 2 $(ARGS)

peers-build: setup packages ## Build the real Argo CD, Flux and Kubernetes into a cache (Go; half an hour, once)
	$(RUN) python -m tests.peers.build

peers-pages: peers-build ## Build Argo CD once more, with its own web pages (Node.js; 8 minutes, once)
	$(RUN) python -m tests.peers.pages

peers: peers-build ## The conformance suite and everything else that runs on the real peers
	$(RUN) python -m pytest --peers tests/conformance tests/peers $(ARGS)

check: setup ## Lint, format, types, layers
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) lint-imports

bench: setup ## The figures of the README, each beside the peer a user would otherwise use
	@for file in $(filter-out benchmarks/delayed.py,$(wildcard benchmarks/*.py)); do echo "== $$file"; $(RUN) python $$file; done

bench-peers: peers-build ## From push to healthy on the real peers, beside what people use (half an hour)
	$(RUN) python -m benchmarks.loop $(ARGS)

docs: setup ## Regenerate the generated reference pages
	$(RUN) python -m docs.generate

clean: ## Remove what the commands above made
	rm -rf .venv .uv .demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

test-airflow-matrix: setup ## The provider's tests on Airflow 3.1 and 3.2 as well
	@for version in 3.1 3.2; do \
		echo "== Airflow $$version"; \
		UV_PROJECT_ENVIRONMENT=$(CURDIR)/.cache/airflow-$$version $(UV) run --isolated --no-project --python $(PYTHON) \
			--with "apache-airflow==$$version.*" --with-editable ".[airflow,testing]" \
			--with pytest --with pytest-timeout --with pytest-socket --with hypothesis \
			python -m pytest tests/unit/airflow; \
	done
