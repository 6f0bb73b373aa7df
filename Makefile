# Set-up in two commands: `make demo` and `make test` each build .venv on first use and reuse it afterwards.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.installed
TORCH := torch==2.13.0

GATE := test_gate_*.py test_episodic_gate.py test_canary_vs_waiting.py test_wear_out.py test_ope_vs_obp.py

.PHONY: setup demo test bench bench-gate lint types layers contracts lock schedule clean

setup: $(SETUP)

# The lock holds every package but torch, whose CPU and CUDA builds have different hashes.
$(SETUP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(SETUP)

lock:
	$(BIN)/pip-compile --quiet --extra dev --generate-hashes --unsafe-package torch --no-header \
	  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --strip-extras --no-annotate -o requirements.lock pyproject.toml

demo: setup
	$(BIN)/sluice demo

# The suite, then what is slow: under ten minutes on two cores together.
test: setup
	$(BIN)/python -m pytest -q -m "not benchmark" -n 2 --dist loadfile --no-loadscope-reorder

bench: setup
	$(BIN)/python -m pytest -q -s -m benchmark tests/benchmarks

# What the gate promises, over fresh random worlds (about three quarters of an hour of CPU). SLUICE_GATE_SEED gives a run again.
bench-gate: setup
	$(BIN)/python -m pytest -q -s -m benchmark $(addprefix tests/benchmarks/,$(GATE))

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup
	$(BIN)/mypy

layers: setup
	$(BIN)/lint-imports

# The shipped contracts by the standard's own tool, in an environment of its own.
contracts:
	PYTHON=$(PYTHON) infra/lint_contracts.sh

schedule: setup
	$(BIN)/python -m flows.schedule

clean:
	rm -rf .venv .venv-contracts .sluice .mypy_cache .ruff_cache .pytest_cache *.egg-info
