# Everything sets itself up in .venv; nothing outside this directory is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Tests start thousands of processes, each of which would compile runslot and the tests anew.
unexport PYTHONDONTWRITEBYTECODE
INSTALL := -m pip --disable-pip-version-check --quiet install
PIP_INSTALL := $(BIN)/python $(INSTALL)
# Of these large ones only what a test imports is compiled, and then: a third of the CPU time. uv unpacks once what
# several have; it does not read what pip is told by PIP_FIND_LINKS.
UV_INSTALL := $(BIN)/uv pip install --quiet $(addprefix --find-links ,$(PIP_FIND_LINKS)) --python
CLOUD_INSTALL := .venv-cloud/bin/python $(INSTALL) --no-compile
RUNS ?= runs
# Their environment has what scripts bring, not what our other tests want.
ADOPTERS_TESTS := tests/adopters tests/unit/logger/test_adopters.py tests/unit/logger/test_torch.py tests/unit/logger/test_sinks.py tests/unit/execute/test_import_state.py tests/unit/test_first_import.py
HYDRA_TESTS := $(wildcard tests/adopters/test_hydra_*.py)
# Every test has its own locks, root and configuration, and waits about as long as it computes, so that four at once
# have work for two cores. Each worker gets a stretch of the tests, which share what a module or a session sets up.
SIDE_BY_SIDE := -n 4 --dist worksteal

.PHONY: demo test adopters engines pythons faults test-gpu test-cloud coverage lint house docs bench clean

## demo: a real sweep with live progress, then its table of results
demo: $(VENV)/.demo
	$(BIN)/runslot run examples/digits.py:train --root "$(RUNS)" \
		--grid lr=0.1,0.01,0.001 --grid hidden=32,64 --seeds 3

## test: all tests that this machine can run; what it cannot is named with its reason
test: $(VENV)/.test
	$(BIN)/python -m pytest -m "not engine" $(SIDE_BY_SIDE) $(PYTEST)

## engines: every launcher on a real engine of its own: ssh hosts, Slurm, containers; faults of rented machines. Wants root on Debian; installs them
engines: $(VENV)/.test
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then tests/testbeds/packages-up ssh slurm containers; fi
	$(BIN)/python -m pytest tests/cloud tests/engines -m "engine and not together" -n 6 --dist loadgroup $(PYTEST)
	$(BIN)/python -m pytest tests/engines -m together $(PYTEST)

## adopters: scripts with the libraries that people use (torch, Lightning, Stable-Baselines3, W&B, …), 1.5 GB in .venv-adopters; the next Hydra
adopters: .venv-adopters/.made .venv-next-hydra/.made
	.venv-adopters/bin/python -m pytest $(ADOPTERS_TESTS) -m adopters -n 3 --timeout 240 $(PYTEST)
	.venv-next-hydra/bin/python -m pytest $(HYDRA_TESTS) -m adopters -n 3 --timeout 240 $(PYTEST)

## faults: only the tests that kill real processes
faults: $(VENV)/.test
	$(BIN)/python -m pytest tests/faults $(PYTEST)

## test-gpu: discovery and runs on a real NVIDIA GPU, in four minutes. GPU_PYTHON=python3 takes that one as it is, with its torch, and installs nothing
test-gpu: $(if $(GPU_PYTHON),,$(VENV)/.test)
	PYTHONPATH="src:$$PYTHONPATH" $(or $(GPU_PYTHON),$(BIN)/python) -m pytest tests/gpu -m gpu -rs --durations=0 $(PYTEST)

## test-cloud: rented machines with real SkyPilot over Slurm, S3 (moto) and GCS (an emulator). 800 MB in .venv-cloud
test-cloud: .venv-cloud/.made
	RUNSLOT_TEST_SKYPILOT="$(CURDIR)/.venv-cloud/bin/python" .venv-cloud/bin/python -m pytest tests/cloud $(PYTEST)

## coverage: the tests again, with branch coverage
coverage: $(VENV)/.test
	$(BIN)/python -m pytest -m "not engine" $(SIDE_BY_SIDE) --cov --cov-report=term $(PYTEST)

## pythons: unit tests on the oldest and the newest Python that this machine has, with the oldest dependencies; the wheel by pip
pythons: $(VENV)/.pythons
	.ci/pythons

## house: files, shares, names, cycles, lengths, and the modules on the way of a run; `--list` of its script says where
house: $(VENV)/.test
	$(BIN)/python benchmarks/house

## lint: style, types, the direction of imports, the limits of `make house`
lint: $(VENV)/.lint
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python benchmarks/house --check

## docs: the documentation as a site, strictly
docs: $(VENV)/.docs
	$(BIN)/mkdocs build --strict --quiet

## bench: the benchmarks, side by side with peers that are installed
bench: $(VENV)/.test
	for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

clean:
	rm -rf $(VENV) .venv-adopters .venv-next-hydra .venv-cloud site .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("runslot needs Python 3.10 or newer, and $(PYTHON) is %d.%d: try make PYTHON=python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) --constraint constraints.txt --upgrade pip
	@touch $@

$(VENV)/.demo: $(VENV)/.made pyproject.toml constraints.txt
	$(PIP_INSTALL) --constraint constraints.txt --editable . --group examples
	@touch $@

$(VENV)/.test: $(VENV)/.made pyproject.toml constraints.txt
	$(PIP_INSTALL) --constraint constraints.txt --editable ".[view,plot,notify,nvidia,tensorboard]" --group examples --group test
	@touch $@ $(VENV)/.demo

.venv-adopters/.made: $(VENV)/.pythons pyproject.toml constraints-adopters.txt
	$(PYTHON) -m venv .venv-adopters
	$(UV_INSTALL) .venv-adopters --constraint constraints-adopters.txt --editable . --group adopters
	@touch $@

.venv-next-hydra/.made: $(VENV)/.pythons pyproject.toml constraints-adopters.txt
	$(PYTHON) -m venv .venv-next-hydra
	grep -viE '^(hydra-core|omegaconf|antlr4)' constraints-adopters.txt >.venv-next-hydra/constraints.txt
	$(UV_INSTALL) .venv-next-hydra --constraint .venv-next-hydra/constraints.txt --editable . --group next-hydra
	@touch $@

.venv-cloud/.made: pyproject.toml constraints-cloud.txt
	$(PYTHON) -m venv .venv-cloud
	$(CLOUD_INSTALL) --constraint constraints-cloud.txt --upgrade pip
	$(CLOUD_INSTALL) --constraint constraints-cloud.txt --editable . --group cloud-test
	@touch $@

$(VENV)/.lint: $(VENV)/.test
	$(PIP_INSTALL) --constraint constraints.txt --group lint
	@touch $@

$(VENV)/.pythons: $(VENV)/.test
	$(PIP_INSTALL) --constraint constraints.txt --group pythons
	@touch $@

$(VENV)/.docs: $(VENV)/.made pyproject.toml constraints.txt
	$(PIP_INSTALL) --constraint constraints.txt --group docs
	@touch $@
