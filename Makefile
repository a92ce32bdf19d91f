# Everything runs in .venv, which is made and filled only when needed.
# ARGS goes to what a target runs: make test ARGS='-k kafka'
PYTHON ?= python3
BIN := .venv/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-faults test-image check bench eval audit sbom clean needs

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' Makefile

demo: .venv/.demo ## a broker, simulated tips, the detector and its metrics, all on this machine (SECONDS=20: end by itself)
	@exec $(BIN)/tip-detector demo $(if $(SECONDS),--seconds '$(SECONDS)') $(ARGS)

test: .venv/.dev needs ## all tests, those on a real Apache Kafka too (fetches it, and Java, once)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(ARGS)

test-faults: .venv/.dev needs ## kill, freeze and cut off everything over and over, and compare what comes out (half an hour)
	@exec $(BIN)/python -m tests.faults $(ARGS)

test-image: .venv/.dev ## do what the Dockerfile does, in an empty folder and without Docker
	@exec $(BIN)/python -m tests.deploy.image $(ARGS)

check: .venv/.dev ## lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict detector

bench: .venv/.dev needs ## measure throughput, latency and memory
	@exec $(BIN)/python -m tests.bench $(ARGS)

eval: .venv/.eval ## compare with simple detectors on made-up streams; ARGS=--ablate: what each family of evidence adds
	@exec $(BIN)/python -m tests.eval $(ARGS)

# Of the program and what it needs alone, in an environment of its own: the tools are not shipped.
# --strict: what no advisory could be asked about is a failure, not a clean bill of health.
audit: .venv/.audit ## known vulnerabilities of what is shipped, to dist/audit.json (ARGS='-s osv': ask OSV, not PyPI)
	@mkdir -p dist
	@.venv/shipped/bin/python -m pip freeze --exclude-editable >dist/requirements.txt
	@$(BIN)/pip-audit --strict --no-deps --disable-pip --requirement dist/requirements.txt \
		--format json --output dist/audit.json $(ARGS)

sbom: .venv/.audit ## what is shipped, with versions and licences, to dist/sbom.json (CycloneDX)
	@mkdir -p dist
	@$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
		--output-file dist/sbom.json .venv/shipped/bin/python

clean: ## remove the virtual environment, what the tests fetched, and all caches
	rm -rf .venv .cache build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find detector tests -name __pycache__ -prune -exec rm -rf {} +

needs:
	@tests/setup.sh

# Several stamps: the demo should not wait for tools that only developers use.
.venv/.demo: pyproject.toml | $(BIN)/python
	$(PIP_INSTALL) --editable '.[demo]'
	@touch $@

.venv/.dev: pyproject.toml | $(BIN)/python
	$(PIP_INSTALL) --editable '.[demo,console-postgresql,dev]'
	@touch $@ .venv/.demo

.venv/.eval: pyproject.toml | $(BIN)/python
	$(PIP_INSTALL) --editable '.[eval]'
	@touch $@

.venv/.audit: pyproject.toml | $(BIN)/python
	$(PIP_INSTALL) --editable '.[audit]'
	'$(PYTHON)' -m venv --clear .venv/shipped
	.venv/shipped/bin/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(BIN)/python:
	@command -v '$(PYTHON)' >/dev/null || { echo "There is no program '$(PYTHON)'. Install Python 3.11 or newer, or say which one to use: make PYTHON=python3.12" >&2; exit 1; }
	@'$(PYTHON)' -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "'$(PYTHON)' is $$('$(PYTHON)' --version 2>&1); Python 3.11 or newer is needed. Say which one to use: make PYTHON=python3.12" >&2; exit 1; }
	@'$(PYTHON)' -c 'import ensurepip, venv' 2>/dev/null || { echo "'$(PYTHON)' cannot make virtual environments: its module venv or ensurepip is missing. On Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	'$(PYTHON)' -m venv .venv
