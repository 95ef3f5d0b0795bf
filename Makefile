# Every target sets up what it needs: Python >= 3.11 and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test soak lint serve docs lock bench-engine container-check clean

help:
	@echo "make demo    start the service, predict a real wind field, check its symmetry, draw it"
	@echo "make test    ruff, mypy --strict, import-linter, pytest"
	@echo "make soak    the long forms of the tests"
	@echo "make serve   the service on http://127.0.0.1:8000"
	@echo "make docs    the documentation, built strictly into site/"
	@echo "make bench-engine   compare folded networks with ginjax and with plain ones (QUICK=1: two minutes)"
	@echo "make lock    refresh the hash-pinned requirements"
	@echo "make container-check   lint the container files and run the image's build steps (root, debootstrap)"

$(READY): requirements/dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY)
	$(BIN)/python examples/demo.py

test: lint
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

soak: $(READY)
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal -m soak

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

serve: $(READY)
	$(BIN)/equifield serve --host 127.0.0.1 --port 8000

docs: $(READY)
	$(BIN)/mkdocs build --strict

LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --no-header $(UPGRADE)

# UPGRADE=--upgrade moves to the newest versions allowed; otherwise what is pinned stays.
lock: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.9"
	$(LOCK) pyproject.toml --extra server --extra train --extra plot --group dev -o requirements/dev.txt
	$(LOCK) pyproject.toml --extra server -c requirements/dev.txt -o requirements/server-cpu.txt
	$(LOCK) pyproject.toml --extra server --extra gpu -c requirements/dev.txt -o requirements/server-gpu.txt
	echo hatchling | $(LOCK) - -c requirements/dev.txt -o requirements/build.txt

# What is compared lives in an environment of its own.
PEERS := .peers
$(PEERS)/.ready: pyproject.toml
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check "pip>=25.1"
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --group peers
	@touch $@

bench-engine: $(READY) $(PEERS)/.ready
	$(BIN)/python benchmarks/engine.py --peers $(PEERS)/bin/python $(if $(QUICK),--quick)

# Without a container engine: needs root, debootstrap and a network.
container-check: $(READY)
	$(BIN)/hadolint Dockerfile
	$(BIN)/python scripts/check_container.py --target cpu

clean:
	rm -rf $(VENV) $(PEERS) site dist
