# Two commands do all set-up on a bare machine: `make demo` and `make test`.
# PYTHON chooses the interpreter (3.11 or newer); PIP_ARGS is passed on to pip.
# TORCH_INDEX is where torch is looked for beside PyPI; docs/installing.md says why.

PYTHON ?= python3
PIP_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
DEMO := $(VENV)/demo
INSTALLED := $(VENV)/installed

ifeq ($(shell uname -s)$(shell command -v nvidia-smi),Linux) # PyPI's torch would bring 5 GB of CUDA
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
endif

unexport PYTHONDONTWRITEBYTECODE # or each process would compile the sources of torch again

.PHONY: demo test lint slow gpu packages clean

demo: $(DEMO) ## train on the embedded drawings and predict one of them (minutes)
	$(BIN)/python examples/demo.py

test: $(INSTALLED) lint ## everything that must be green
	$(BIN)/python -m pytest -n logical --dist loadfile -m "not slow and not gpu and not real_data"

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

slow: $(INSTALLED) ## the tests that take minutes; RONDO_FACES=PATH adds those on real photos
	$(BIN)/python -m pytest -m "slow or real_data"

gpu: $(INSTALLED) ## the tests of kernels for GPUs, where there is one
	$(BIN)/python -m pytest tests/test_cuda_engine.py tests/test_gpu_*.py tests/test_library.py

packages: $(INSTALLED) ## build a wheel and a source distribution, try each in a clean environment
	TORCH_INDEX=$(TORCH_INDEX) $(BIN)/python -m pytest -m slow tests/test_packages.py

$(DEMO): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Rondo needs Python 3.11 or newer, found " + sys.version.split()[0] + "; call make with PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --no-compile --no-deps $(if $(TORCH_INDEX),--retries 1 --timeout 15 --extra-index-url $(TORCH_INDEX)) $(PIP_ARGS) --constraint constraints.txt torch
	$(PIP) install --quiet --no-compile $(PIP_ARGS) --constraint constraints.txt --editable ".[photo]"
	touch $@

$(INSTALLED): $(DEMO)
	$(PIP) install --quiet $(PIP_ARGS) --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
