# Needs make, git and Python 3.11 to 3.14; PYTHON=/path/to/python3 chooses the interpreter.
.DEFAULT_GOAL := help
SHELL := /bin/sh
BIN := .venv/bin
PYTHON ?=
ARGS ?=
# Number of processes that run tests.
WORKERS ?= 2
# Tests start hundreds of processes. Without bytecode, which some containers turn off, each compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE

# Finds a Python for which the locks contain packages: python3 first, then the best tested versions.
define FIND_PYTHON
for python in $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python3.14); do \
  if "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' >/dev/null 2>&1; then break; fi; \
  python=; \
done; \
if [ -z "$$python" ]; then \
  echo "No Python 3.11 to 3.14 found; install one, or name one with make PYTHON=/path/to/python3" >&2; exit 1; \
fi
endef

# $(call part,NAME,COMMAND): print a heading, run the command, print its duration.
define part
@printf '\n== %s\n' '$(1)'; started=$$(date +%s); $(2); code=$$?; \
  printf '== %s: %s in %s s\n' '$(1)' "$$([ $$code -eq 0 ] && echo ok || echo FAILED)" "$$(($$(date +%s) - started))"; \
  exit $$code
endef

.PHONY: help
help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Install everything for development into .venv, from the hashed lock
	@$(FIND_PYTHON); "$$python" requirements/install.py dev

.PHONY: setup-runtime
setup-runtime:
	@$(FIND_PYTHON); "$$python" requirements/install.py runtime

.PHONY: run
run: setup-runtime ## Serve the embedded models; ARGS='--port 9000' passes options to launch
	@$(if $(findstring --model,$(ARGS)),,$(BIN)/mlx-openai-server models pull embedded)
	@exec $(BIN)/mlx-openai-server launch $(ARGS)

.PHONY: test
test: MINUTES = 3
test: lint types unit live soak ## Run lint, types, unit and live tests, and a soak of three minutes

# Files for the spelling check: everything written by hand, without locks and licences.
TEXTS := contracts otel providers server tests typing_tests docs requirements/*.in requirements/*.py Makefile pyproject.toml $(wildcard *.md)

.PHONY: lint
lint: setup ## Check ruff's rules and format, import rules, unused code, spelling and wording
	$(call part,lint,$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports && \
	  $(BIN)/python -m tests.lint.unused_code && $(BIN)/codespell $(TEXTS) && $(BIN)/python -m tests.lint.prose)

# A cache per platform: a cache made for another one would be discarded on every run.
types_on = $(BIN)/mypy --platform $(1) --cache-dir .mypy_cache/$(1)

.PHONY: types
types: setup ## Run mypy in strict mode, for Linux and for macOS side by side
	$(call part,types,$(call types_on,linux) & linux=$$!; $(call types_on,darwin); darwin=$$?; wait $$linux && [ $$darwin -eq 0 ])

.PHONY: unit
unit: setup ## Run the tests that need no weights
	$(call part,unit tests,$(BIN)/pytest -q -n $(WORKERS) tests/unit $(ARGS))

# The servers of several workers share the cores: each uses one thread, so that none waits for another. The tests of one
# file share servers, so they stay on one worker.
LIVE_ENV := $(if $(filter 1,$(WORKERS)),,OPENBLAS_NUM_THREADS=1)

.PHONY: live
live: setup ## Run the tests of a real server with the embedded models, and of its pages in a browser
	$(call part,embedded models,$(BIN)/mlx-openai-server models pull embedded)
	$(call part,live tests,$(LIVE_ENV) $(BIN)/pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder tests/live tests/browser $(ARGS))

# Minutes of the soak, from the start of its server to its end.
MINUTES ?= 30
SOAK ?=

.PHONY: soak
soak: setup ## Mix requests, faults and dead engines for half an hour; MINUTES=3, SOAK='--seed 1'
	$(call part,embedded models,$(BIN)/mlx-openai-server models pull embedded)
	$(call part,soak,$(BIN)/python -m tests.soak --minutes $(MINUTES) $(SOAK))

.PHONY: compat
compat: setup ## Judge the server by other people's suites and SDKs (downloads them into the cache; network)
	$(call part,embedded models,$(BIN)/mlx-openai-server models pull embedded)
	$(call part,judges,$(BIN)/pytest -q tests/compat $(ARGS))

.PHONY: fuzz-api
fuzz-api: setup ## Send 20,000 requests drawn from its OpenAPI document to a server; ARGS='--cases 500 --embedded'
	@$(BIN)/python -m tests.fuzz $(ARGS)

.PHONY: setup-mutation
setup-mutation:
	@$(FIND_PYTHON); "$$python" requirements/install.py mutation

.PHONY: mutate
mutate: setup-mutation ## Change details of the code and see which ones no test notices; ARGS='admission' chooses
	@$(BIN)/python -m tests.mutation $(ARGS)

.PHONY: bench
bench: setup ## Measure this machine as in docs/performance.md (several minutes, on a quiet machine)
	@$(BIN)/mlx-openai-server bench suite $(ARGS)

# These options keep index hosts and machine paths out of the locks.
LOCK_TOOL := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-header --no-annotate --override requirements/overrides.txt
LOCK := $(LOCK_TOOL) --extra cpu --extra all
# Installed beside a server: MLX is the server's, and mflux needs Matplotlib only for plots.
BESIDE := $(addprefix --no-emit-package ,mlx mlx-cpu mlx-metal contourpy cycler fonttools kiwisolver matplotlib \
  opencv-python pyparsing python-dateutil tzdata)

.PHONY: lock
lock: setup ## Resolve the locks again; ARGS=--upgrade allows newer versions
	$(LOCK) $(ARGS) pyproject.toml requirements/build.in --output-file requirements/runtime.txt
	$(LOCK) $(ARGS) --extra dev --extra bench --extra talk --extra speech-ja --extra images --constraint requirements/runtime.txt pyproject.toml requirements/build.in --output-file requirements/dev.txt
	$(LOCK_TOOL) $(ARGS) $(BESIDE) --constraint requirements/runtime.txt requirements/images.in --output-file requirements/images.txt
	$(LOCK_TOOL) $(ARGS) --constraint requirements/dev.txt requirements/mutation.in --output-file requirements/mutation.txt

.PHONY: resolve
resolve: setup ## Check that every platform and Python can install the project (network, several minutes)
	@$(BIN)/python requirements/resolve.py

.PHONY: clean
clean: ## Remove .venv and all caches in this folder; downloaded weights stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
