# Every target sets up what it needs: Python >= 3.11 and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test soak lint serve docs lock bench-engine bench-engine-gpu bench-service bench-jobs bench-accuracy container-check clean

help:
	@echo "make demo    start the service, predict a real wind field, check its symmetry, draw it"
	@echo "make test    ruff, mypy --strict, import-linter, pytest"
	@echo "make soak    the long forms of the tests"
	@echo "make serve   the service on http://127.0.0.1:8000"
	@echo "make docs    the documentation, built strictly into site/"
	@echo "make bench-engine   compare folded networks with ginjax, escnn and plain ones (15 minutes; QUICK=1: two)"
	@echo "make bench-engine-gpu   the same on a GPU, with every precision"
	@echo "make bench-service  compare the service with LitServe, BentoML, Ray Serve and MLServer (QUICK=1: minutes)"
	@echo "make bench-accuracy compare equivariant networks with plain ones by the amount of data (QUICK=1: 20 minutes)"
	@echo "make bench-jobs     what a job costs beside its computing (8 minutes; QUICK=1: below one)"
	@echo "make lock    refresh the hash-pinned requirements"
	@echo "make container-check   lint the container files and run the image's build steps (root, debootstrap)"

$(READY): requirements/dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY)
	$(BIN)/python examples/demo.py

# One more than there are cores: a test that waits for a process it has started leaves its core to another.
PYTEST = $(BIN)/python -m pytest --dist worksteal --numprocesses \
	$(shell $(PYTHON) -c "import os; print(min(4, os.cpu_count() + 1))")

test: lint
	$(PYTEST)

soak: $(READY)
	$(PYTEST) -m soak

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
	$(LOCK) pyproject.toml --extra server --extra s3 --extra gcs --extra telemetry --extra train --extra plot --extra tensorboard --extra wandb --extra postgres --group dev -o requirements/dev.txt
	$(LOCK) pyproject.toml --extra server -c requirements/dev.txt -o requirements/server-cpu.txt
	$(LOCK) pyproject.toml --extra server --extra gpu -c requirements/dev.txt -o requirements/server-gpu.txt
	echo hatchling | $(LOCK) - -c requirements/dev.txt -o requirements/build.txt

# What is compared lives in environments of its own: escnn runs on NumPy 1, ginjax on NumPy 2.
PEERS := .peers
GINJAX := $(PEERS)/ginjax/bin/python
ESCNN := $(PEERS)/escnn/bin/python
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check

$(PEERS)/.ready: pyproject.toml
	$(PYTHON) -m venv --clear $(PEERS)/ginjax
	$(GINJAX) $(PIP_INSTALL) "pip>=25.1"
	$(GINJAX) $(PIP_INSTALL) --group peers
	$(PYTHON) -m venv --clear $(PEERS)/escnn
	$(ESCNN) $(PIP_INSTALL) "pip>=25.1"
	$(ESCNN) $(PIP_INSTALL) --group peers-escnn
	$(ESCNN) $(PIP_INSTALL) --no-deps escnn==1.0.11
	@touch $@

BENCH_ENGINE = $(BIN)/python -m benchmarks.engine --ginjax $(GINJAX) --escnn $(ESCNN) $(if $(QUICK),--quick)

bench-engine: $(READY) $(PEERS)/.ready
	$(BENCH_ENGINE)

# Adds JAX's CUDA plugin, of the same version, to both environments that have JAX.
bench-engine-gpu: $(READY) $(PEERS)/.ready
	$(BIN)/python $(PIP_INSTALL) "jax[cuda12]"
	$(GINJAX) $(PIP_INSTALL) "jax[cuda12]"
	$(BENCH_ENGINE) --device gpu

SERVING := litserve bentoml ray mlserver

$(PEERS)/.ready-serving: pyproject.toml
	for peer in $(SERVING); do $(PYTHON) -m venv --clear $(PEERS)/$$peer && \
		$(PEERS)/$$peer/bin/python $(PIP_INSTALL) "pip>=25.1" && \
		$(PEERS)/$$peer/bin/python $(PIP_INSTALL) --group peers-$$peer || exit 1; done
	@touch $@

bench-service: $(READY) $(PEERS)/.ready-serving
	$(BIN)/python -m benchmarks.service $(foreach peer,$(SERVING),--$(peer) $(PEERS)/$(peer)/bin/python) \
		$(if $(QUICK),--quick)

bench-accuracy: $(READY)
	$(BIN)/python -m benchmarks.accuracy $(if $(QUICK),--quick)

bench-jobs: $(READY)
	$(BIN)/python -m benchmarks.jobs $(if $(QUICK),--quick)

# Without a container engine: needs root, debootstrap and a network.
container-check: $(READY)
	$(BIN)/hadolint Dockerfile
	$(BIN)/python scripts/check_container.py --target cpu

clean:
	rm -rf $(VENV) $(PEERS) site dist
