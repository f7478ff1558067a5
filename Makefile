# make leaderboard   the benchmark, from nothing to a leaderboard
# make test          lint, types, import rules, tests, metric regression
# TORCH_INDEX=...    PyTorch's own package index (CPU or CUDA), where the default would bring another build than you want
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV ?= .venv
PY := $(VENV)/bin/python
SUITE ?= cropseq
ARGS ?=
SEEDS ?= 3
TORCH := torch==2.13.0
STAMP := $(VENV)/.installed

.PHONY: help env leaderboard test test-all lint clean
help: ## show this
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

env: $(STAMP) ## create .venv with everything in it

$(STAMP): pyproject.toml tools/find_python.sh
	@set -e; python=$$(bash tools/find_python.sh); \
	echo "Creating $(VENV) with $$python (some minutes, about 2 GB)"; \
	"$$python" -m venv --clear $(VENV); \
	$(PY) -m pip install --quiet --disable-pip-version-check $(TORCH) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)); \
	$(PY) -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $(STAMP)

leaderboard: $(STAMP) ## train and score all models on suite SUITE (default cropseq)
	$(PY) -m benchmarks.run --suite $(SUITE) $(ARGS)

lint: $(STAMP) ## ruff, mypy, import-linter
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

test: lint ## lint, types, imports, tests, metric regression, smoke on the newest other Python of the machine
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist worksteal -p no:benchmark -m 'not slow and not gpu and not bench'
	@$(MAKE) --no-print-directory regression
	@$(MAKE) --no-print-directory smoke-pythons PYTHONS=newest

test-all: lint ## the same with slow tests, and smoke on all other Pythons
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist worksteal -p no:benchmark -m 'not bench'
	@$(MAKE) --no-print-directory regression
	@$(MAKE) --no-print-directory smoke-pythons

.PHONY: smoke-pythons
smoke-pythons: $(STAMP) ## suite smoke on every other Python 3.11 to 3.13 that is here (minutes and 2 GB each, the first time; PYTHONS=newest)
	@PY=$(PY) TORCH=$(TORCH) TORCH_INDEX=$(TORCH_INDEX) bash tools/smoke_pythons.sh $(PYTHONS)

.PHONY: regression reference bench bench-scale bench-draws bench-peers
regression reference: SUITE := smoke
regression: $(STAMP) ## run suite SUITE (default smoke) and compare it with its committed reference
	rm -rf build/$(SUITE)
	$(PY) -m benchmarks.run --suite $(SUITE) --threads 1 --no-figures --out build $(ARGS)
	$(PY) -m benchmarks.regress "$$(ls -d build/$(SUITE)/*/ | tail -1)" tests/golden/$(SUITE).csv.gz --junit build/regression.xml

reference: $(STAMP) ## regenerate suite SUITE's committed reference, from three seeds (then say why in CHANGELOG.md)
	rm -rf build/$(SUITE)
	$(PY) -m benchmarks.run --suite $(SUITE) --threads 1 --seeds $(SEEDS) --no-figures --out build $(ARGS)
	$(PY) -m benchmarks.regress "$$(ls -d build/$(SUITE)/*/ | tail -1)" --write tests/golden/$(SUITE).csv.gz

bench: $(STAMP) ## what users wait for beside its targets, then kernels by pytest-benchmark (half an hour; ARGS="--only start,run")
	$(PY) -m tests.bench.speed $(ARGS)
	$(PY) -m pytest tests/bench -m bench --benchmark-only

bench-scale: $(STAMP) ## time, memory and disk of whole runs against cells, conditions and workers (an hour; ARGS="--cells 20000,80000")
	$(PY) -m tests.bench.scale $(ARGS)

bench-draws: $(STAMP) ## pre-training from draws on disk: writing, step time, memory (13 GB in ARGS="--folder DIR"; minutes)
	$(PY) -m tests.bench.cycseq_scale $(ARGS)

bench-peers: $(STAMP) ## scoring time and memory of this project and its peers (ARGS="--cases A --repeats 1"; about 30 minutes)
	$(PY) -m pip install --quiet --disable-pip-version-check -e '.[dev,peers]'
	$(PY) -m tests.bench.peers $(ARGS)

.PHONY: docs links
docs: $(STAMP) ## the documentation site, in build/docs; runs its notebooks (a minute)
	$(PY) -m sphinx --fail-on-warning --keep-going --quiet --builder html docs build/docs

links: $(STAMP) ## whether the links of the site that lead elsewhere work (needs a network)
	$(PY) -m sphinx --keep-going --quiet -D nb_execution_mode=off --builder linkcheck docs build/links

.PHONY: schema
schema: $(STAMP) ## make docs/scores-table.md from reports/score_columns.py
	$(PY) -c "from reports.score_columns import schema_page; print(schema_page(), end='')" > docs/scores-table.md

.PHONY: study
study: $(STAMP) ## CycSeq, its ablations and rivals on all suites, five seeds (ARGS="--data-dir DIR --jobs 2")
	$(PY) -m benchmarks.study --out results/study $(ARGS)

.PHONY: bench-data
bench-data: $(STAMP) ## time, memory and disk of preparing, reading and sampling cells (ARGS="--cells 100000" for less than 1,000,000)
	$(PY) -m tests.bench.cells $(ARGS)

clean: ## remove .venv and build
	rm -rf $(VENV) build
