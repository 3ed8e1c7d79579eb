# make demo: install and analyse two real clips to a report; make app [FOLDER=clips]: serve the web page; make test: pass the tests.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
export HF_HUB_OFFLINE ?= 1
export TRANSFORMERS_OFFLINE ?= 1
# Tests start many processes; without bytecode each would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install install-dev setup demo app test lint mutants format clean

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "deft-llm needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)

# torch goes first: an open range in a later package would pull a CUDA build of several GB.
$(VENV)/.torch: constraints.txt | $(VENV)/bin/python
	$(PIP) install -q "$$(grep '^torch==' constraints.txt)"
	touch $@

$(VENV)/.install: pyproject.toml constraints.txt $(VENV)/.torch
	$(PIP) install -q -c constraints.txt -e .
	touch $@

$(VENV)/.install-app: $(VENV)/.install
	$(PIP) install -q -c constraints.txt -e '.[app]'
	touch $@

$(VENV)/.install-dev: pyproject.toml constraints.txt $(VENV)/.torch
	$(PIP) install -q -c constraints.txt -e '.[dev,ray]'
	touch $@ $(VENV)/.install $(VENV)/.install-app

install: $(VENV)/.install

install-dev: $(VENV)/.install-dev

setup: install
	$(BIN)/deft setup

app: setup $(VENV)/.install-app
	$(BIN)/deft app $(if $(FOLDER),--folder "$(FOLDER)")

demo: setup
	$(BIN)/deft demo

test: install-dev
	$(BIN)/deft setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

mutants: install-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m recipes.mutants

lint: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy src/deft_llm
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/vulture
	$(BIN)/vulture src recipes benchmarks tests vulture_allowlist.py

format: install-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist demo src/*.egg-info
