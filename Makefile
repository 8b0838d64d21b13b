# Every target does its own set-up: virtual environment, dependencies, container engine, images.
.DEFAULT_GOAL := help
.PHONY: help demo test proof fuzz lint bench engine clean

PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
RUN := $(VENV)/bin/python
WITH_ENGINE := scripts/with-engine

# A command is started very often: what Python compiled of it is kept.
unexport PYTHONDONTWRITEBYTECODE

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) ## Fix real bugs with the real Claude Code, a script playing the model: no key, no network
	@$(WITH_ENGINE) $(RUN) -m demo

test: $(READY) ## Run every kind of test
	@$(WITH_ENGINE) $(RUN) -m pytest --numprocesses=4 --dist=loadfile --no-loadscope-reorder $(ARGS)

proof: $(READY) ## Run the same tests at their full counts; go on where it was interrupted; write a dated result
	@CORRAL_TEST_COUNTS=full $(WITH_ENGINE) $(RUN) -m pytest -p tests.proof $(ARGS)

fuzz: $(READY) ## Fuzz what takes in hostile bytes, each target for SECONDS (600)
	@CORRAL_FUZZ_SECONDS=$(or $(SECONDS),600) $(RUN) -m pytest -s tests/attacks/test_fuzz_*.py $(ARGS)

lint: $(READY) ## Check style and types
	@$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check . && $(VENV)/bin/mypy

bench: $(READY) ## Measure overhead and throughput as ratios within one run
	@$(WITH_ENGINE) $(RUN) -m bench $(ARGS)

engine: ## Start a container engine where none answers, and leave it running
	@scripts/engine up

clean: ## Remove what the other targets made here; runs and images stay (`corral reap`, `corral image prune`)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info demo/.work

$(READY): pyproject.toml
	@echo "preparing $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@
