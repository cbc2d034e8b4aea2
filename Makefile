# lossbench: `make help` lists what there is to make.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The first Python that is new enough; `make PYTHON=python3.12 ...` chooses another.
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	if $$python -c '$(SUPPORTED)' 2>/dev/null; then echo $$python; break; fi; done)
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Only some tests need PyTorch. It is not in the lock file: from PyPI it brings gigabytes for GPUs;
# PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu has pip take the CPU build.
TORCH := torch==2.13.0
TORCH_INSTALLED := $(VENV)/.torch
# Only the benchmark and one test need JAX. It has a folder of its own, since TensorFlow imports JAX
# where it finds it, and every worker would start later; what it needs, TensorFlow has brought.
JAX := jax==0.10.2 jaxlib==0.10.2
JAX_FOLDER := $(VENV)/jax
JAX_INSTALLED := $(VENV)/.jax

# The tests that note how often a promise held.
SOAKED := $(addprefix tests/test_,writes.py kills.py cluster.py \
	experiment_fuzz.py compare_interval.py audit.py)

# The first line of an experiment says which target runs it and how long that takes on two cores:
# "# all-results: 2 minutes", "# more-results: 35 minutes".
EXPERIMENTS := $(wildcard experiments/*.toml)
# MNIST does not come with the dependencies: its experiments run where its files are.
NEED_FILES := $(shell grep -lE '^dataset *=.*mnist' $(EXPERIMENTS))
LEFT_OUT := $(if $(LOSSBENCH_DATA_DIR),,$(NEED_FILES))
of_target = $(shell grep -l '^\# $(1):' $(EXPERIMENTS))

.PHONY: help install all-results more-results test soak mutants coverage audit-dependencies lint check format \
	lock bench overhead reproduce clean

help:  ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | \
		awk -F ':.*## ' '{printf "%-18s %s\n", $$1, $$2}'
	@echo; awk 'FNR == 1 {sub("# ", ""); printf "%-34s %s\n", FILENAME, $$0}' $(EXPERIMENTS)

# pip installs uv, and uv the rest: in half the time, and it says what it does. Neither takes
# what has another hash than the lock file. Where uv reaches no index, pip may know a mirror.
UV := $(BIN)/uv pip install --python $(BIN)/python

install: $(INSTALLED)  ## Install the pinned dependencies and lossbench into .venv

$(INSTALLED): requirements.lock pyproject.toml
	@$(if $(PYTHON),,echo "lossbench needs Python 3.11, 3.12 or 3.13; found: $$(python3 --version 2>&1)" >&2; exit 1)
	@$(PYTHON) -c '$(SUPPORTED)' || { \
		echo "lossbench needs Python 3.11, 3.12 or 3.13; $(PYTHON) is $$($(PYTHON) --version 2>&1)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@awk '/^uv==/, !/\\$$/' requirements.lock >$(VENV)/uv.lock
	$(BIN)/python -m pip install --quiet --require-hashes --requirement $(VENV)/uv.lock
	$(UV) --compile-bytecode --require-hashes --requirement requirements.lock || \
		$(BIN)/python -m pip install --require-hashes --requirement requirements.lock
	$(UV) --no-deps --no-build-isolation --editable .
	@touch $@

# What is committed stays where every run agrees with it: another processor changes the last digits.
define sweep_each
	@for experiment in $(1); do \
		echo; echo "$$experiment: $$(sed -n '1s/.*: //p' $$experiment) on two cores"; \
		$(BIN)/lossbench sweep $$experiment || exit $$?; done
	@echo; $(BIN)/python experiments/restore.py tables $(1:experiments/%.toml=results/%)
	@echo; $(BIN)/lossbench report
	@$(BIN)/python experiments/restore.py figures $(1:experiments/%.toml=results/%)
	@if [ -n "$(2)" ]; then echo; \
		echo "left out, since MNIST does not come with the dependencies: $(2)"; \
		echo "with its four IDX files in a folder: LOSSBENCH_DATA_DIR=FOLDER make $@"; fi
endef
make_results = $(call sweep_each,$(filter-out $(LEFT_OUT),$(1)),$(filter $(LEFT_OUT),$(1)))

all-results: install  ## Run every short experiment whose data is at hand; results/ holds tables and report.html
	$(call make_results,$(call of_target,all-results))

more-results: install  ## Run the long experiments, too long for all-results; stopped, it goes on where it was
	$(call make_results,$(call of_target,more-results))

$(TORCH_INSTALLED): $(INSTALLED)
	$(BIN)/python -m pip install $(TORCH)
	@touch $@

test: $(TORCH_INSTALLED) $(JAX_INSTALLED)  ## Run all the tests, in two halves at the same time
	@$(BIN)/python -m pytest tests/test_[a-e]*.py >$(VENV)/first-half.log 2>&1 & first=$$!; \
	$(BIN)/python -m pytest tests/test_[!a-e]*.py lossbench; second=$$?; \
	wait $$first; status=$$?; cat $(VENV)/first-half.log; exit $$((status | second))

soak: $(TORCH_INSTALLED)  ## Put every promise to the test at full length; writes results/reliability.csv
	LOSSBENCH_SOAK=1 $(BIN)/python -m pytest $(SOAKED)

mutants: install  ## Put 200 small faults into six rooms, one at a time: which do the tests miss?
	$(BIN)/python experiments/mutants.py

coverage: install  ## Run the fast tests and list the lines that none of them reaches
	$(BIN)/python -m coverage run -m pytest -m "not slow"
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

audit-dependencies: install  ## Look the pinned dependencies up in the database of vulnerabilities
	$(BIN)/uv tool run pip-audit --strict --disable-pip --requirement requirements.lock

lint: install  ## Check format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check: lint  ## Format, lint, types and the fast tests
	$(BIN)/python -m pytest -m "not slow"

format: install  ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

reproduce: install  ## Train a part of the experiments again and check it against results/
	$(BIN)/python experiments/reproduce.py

$(JAX_INSTALLED): $(INSTALLED)
	$(BIN)/python -m pip install --no-deps --upgrade --target $(JAX_FOLDER) $(JAX)
	@touch $@

bench: $(TORCH_INSTALLED) $(JAX_INSTALLED)  ## Measure the speed against Keras, PyTorch and JAX; writes results/speed.csv
	$(BIN)/python experiments/speed.py --jax $(JAX_FOLDER)

overhead: install  ## Measure all but training, and memory; writes results/overhead.csv and memory.csv
	$(BIN)/python experiments/overhead.py
	$(BIN)/python experiments/memory.py

lock: install  ## Pin every dependency again
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--group dev --output-file requirements.lock pyproject.toml

clean:  ## Remove what was installed and cached; results stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage* mutants.csv
