# make demo: install and analyse two real clips to a report; make test: install and pass the tests.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
export HF_HUB_OFFLINE ?= 1
export TRANSFORMERS_OFFLINE ?= 1

.PHONY: install install-dev setup demo test lint format clean

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

$(VENV)/.install-dev: pyproject.toml constraints.txt $(VENV)/.torch
	$(PIP) install -q -c constraints.txt -e '.[dev,ray]'
	touch $@ $(VENV)/.install

install: $(VENV)/.install

install-dev: $(VENV)/.install-dev

setup: install
	$(BIN)/deft setup

demo: setup
	$(BIN)/deft demo

test: install-dev
	$(BIN)/deft setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

lint: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy src/deft_llm

format: install-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist demo src/*.egg-info
