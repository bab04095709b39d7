# Every target sets up what it needs: an environment in .venv, the locked packages, generated code, the compiled core.
# What has not changed is not done again (tools/prepare.py).

PYTHON ?= python3
BIN := .venv/bin
export PYTHONPATH := $(CURDIR)
PREPARE = @command -v $(PYTHON) >/dev/null || { echo "onevoice: no $(PYTHON) found: install Python 3.11 or newer" >&2; exit 1; }; \
	env -u PYTHONPATH $(PYTHON) tools/prepare.py
# The debug copy comes first on the path of every process, and no process puts its own folder before it.
DEBUG_ENV = env ONEVOICE_BUILD_MODE=debug PYTHONSAFEPATH=1 PYTHONPATH=$(CURDIR)/build/debug/lib:$(CURDIR)
COMPILED = $(subst /,.,$(basename $(shell find core edge hub -name '*.pyx' | sort)))
ARGS ?=
TARGETS ?= bundle index record batch frame journal expression catalogue
SECONDS ?= 60
SANITIZED = tests/test_build.py tests/core tests/fuzz tests/properties tests/faces/test_edge_vectors.py
# Two processes, a file in one of them. The story measures times between processes, so it has the machine for itself.
SIDE_BY_SIDE = -n 2 --dist loadfile --benchmark-disable

.PHONY: help run build test lint format types debug sanitize fuzz aarch64 bench bench-full lock clean

help:  ## show this
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

run:  ## set up and start the shop, two edges, the hub and the console (Ctrl-C stops them)
	$(PREPARE)
	@exec $(BIN)/python -m examples.shop.run $(ARGS)

build:  ## set up, and compile again what has changed
	$(PREPARE)

test:  ## run the tests on the release build (ARGS="tests/core -k name" for some)
	$(PREPARE) --browser
ifeq ($(ARGS),)
	$(BIN)/pytest $(SIDE_BY_SIDE) --ignore tests/story tests
	$(BIN)/pytest tests/story
else
	$(BIN)/pytest $(ARGS)
endif

lint:  ## ruff and cython-lint
	$(PREPARE)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint core edge hub

format:  ## let ruff rewrite what it can
	$(PREPARE)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types:  ## mypy --strict, and the stubs of the compiled modules against the modules
	$(PREPARE)
	$(BIN)/mypy core edge hub
	$(BIN)/stubtest --mypy-config-file pyproject.toml --allowlist tools/stubtest-allowlist.txt \
		--ignore-unused-allowlist $(COMPILED)

debug:  ## compile with every check on and run the tests on that build
	$(PREPARE) --debug --browser
	$(DEBUG_ENV) $(BIN)/pytest $(ARGS)

sanitize:  ## run the core's tests under AddressSanitizer and UndefinedBehaviorSanitizer (some minutes)
	$(PREPARE) --sanitize
	tools/sanitized.sh $(BIN)/pytest $(SIDE_BY_SIDE) --maxfail 1 --capture=sys --timeout 600 $(or $(ARGS),$(SANITIZED))

fuzz:  ## fuzz each target for SECONDS (60) guided by coverage, and as long under the sanitizers (TARGETS="bundle record")
	$(PREPARE) --sanitize
	for target in $(TARGETS); do \
		$(BIN)/python -m tests.fuzz.run guided $$target $(SECONDS) || exit 1; \
		tools/sanitized.sh $(BIN)/python -m tests.fuzz.run watched $$target $(SECONDS) || exit 1; \
	done

aarch64:  ## compile the core for aarch64 and compare its answers with this machine's, under qemu (by hand; ARGS="tests/core" runs tests there)
	$(PREPARE)
	tools/aarch64.sh $(ARGS)

bench:  ## run the benchmarks and their gates (4 minutes at most)
	$(PREPARE)
	$(BIN)/pytest benchmarks $(ARGS)

bench-full:  ## the benchmarks on large sets and against peers (by hand; ARGS="-k peers" for some)
	$(PREPARE) --peers
	ONEVOICE_BENCH_FULL=1 build/peers/bin/pytest benchmarks $(ARGS)

lock:  ## renew requirements/ from pyproject.toml (UPGRADE=1 takes the newest of everything)
	$(PREPARE)
	tools/lock.sh

clean:  ## start over: remove everything that make has made
	rm -rf .run .venv .stamps build dist onevoice.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	rm -f benchmarks/results.json
	find core edge hub -name '*.so' -exec rm -f {} +
	find protos \( -name '*_pb2*.py' -o -name '*_pb2*.pyi' \) -exec rm -f {} +
	find core edge hub protos tests benchmarks examples tools -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
