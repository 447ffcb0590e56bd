# Every target sets up what it needs: Debian packages (as root), a virtual environment, the pinned Python packages.
#
#   make demo       a real network in network namespaces on this machine, shown working and cleaned up
#   make test       the whole suite, hosts in network namespaces included (root): make test PROCESSES=4
#   make check      lint, types, import contracts, fast tests
#   make observe    the demo network with a real Prometheus in it, until Ctrl-C: SECONDS=30 make observe
#   make bench      figures, as ratios against a named reference
#   make bench-peers  beside innernet, tailscaled and Nebula (root): make bench-peers ROUNDS=5 PEERS=2000 WHAT=adding
#   make profile    where the time of one of them goes, as a picture: make profile WHAT=growth
#   make flood      what hostile peers cost the others (root): make flood KINDS="openapi why" HOSTILE="3 64" SECONDS=5
#   make netlab     how long machines behind NATs take to reach each other: make netlab RUNS=40
#   make sim        a seeded life of a network in memory: make sim PEERS=1000 MINUTES=10 SEED=7
#   make fuzz       bytes that nobody would send, to whatever reads bytes: make fuzz MINUTES=60 TARGETS="frames uapi"
#   make interop    innernet's own client against our coordinator (needs cargo)
#   make test-slow  what takes longer than CI should wait: kernel WireGuard in a VM, many crashes
#   make lock       pin the packages anew, with hashes and without URLs
#   make build      a wheel
#   make deb        the Debian package, in dist/; for other machines than this one: make deb ARCH=arm64
#   make sbom       what the runtime lock consists of (CycloneDX), in dist/
#   make docs       the documentation as a site, in build/site

SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete

# Commands that tests start load what was compiled, as they do where they are installed.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo observe test test-fast test-slow check lint bench bench-peers profile flood netlab sim fuzz \
	interop lock build deb sbom docs setup debian clean

setup: debian $(STAMP)

debian:
	@.ci/debian-packages

$(STAMP): requirements-dev.txt pyproject.toml | debian
	@echo "setting up $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: setup
	@$(BIN)/python -m tests.netns.demo

observe: setup
	@$(BIN)/python -m tests.netns.observe $(SECONDS)

# Most tests in network namespaces wait, so there are more processes than cores. What the tests of a file share is set up
# once, in the process that has the file.
PROCESSES ?= $(shell echo $$(( 2 * $$(nproc) )))
SHARED_OUT := -n $(PROCESSES) --dist loadfile --no-loadscope-reorder

test: setup
	$(BIN)/pytest $(SHARED_OUT) -m "not slow and not interop"

test-fast: setup
	$(BIN)/pytest $(SHARED_OUT) -m "not netns and not slow and not interop"

test-slow: setup
	$(BIN)/pytest -m "slow"

check: lint test-fast

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	@$(BIN)/python -m benchmarks

WHAT ?= agent

profile: setup
	$(BIN)/py-spy record --subprocesses --output profile-$(WHAT).svg -- $(BIN)/python -m benchmarks $(WHAT)

# Who can't be built is left out.
ROUNDS ?= 5

bench-peers: PEERS = 2000
bench-peers: WHAT =
bench-peers: setup
	@.ci/innernet || true
	@.ci/peers || true
	@$(BIN)/python -m benchmarks.beside --rounds $(ROUNDS) --peers $(PEERS) $(WHAT)

HOSTILE ?= 3 64

flood: setup
	@$(BIN)/python -m benchmarks.flood --hostile $(HOSTILE) $(if $(KINDS),--kinds $(KINDS)) $(if $(SECONDS),--seconds $(SECONDS))

RUNS ?= 40

netlab: setup
	@$(BIN)/python -m tests.netns.netlab $(RUNS)

PEERS ?= 100
MINUTES ?= 10
SEED ?=

sim: setup
	@$(BIN)/python -m tests.mesh $(PEERS) $(MINUTES) $(SEED)

TARGETS ?=

fuzz: setup
	@$(BIN)/python -m tests.fuzz $(MINUTES) $(TARGETS)

docs: setup
	$(BIN)/python deploy/site/generate.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict -f deploy/site/mkdocs.yml

interop: setup
	@.ci/innernet
	$(BIN)/pytest -m interop

LOCK := $(BIN)/uv pip compile pyproject.toml --quiet --upgrade --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make lock"

lock:
	@test -x $(BIN)/uv || { $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet uv; }
	$(LOCK) --output-file requirements.txt
	$(LOCK) --extra dev --output-file requirements-dev.txt
	@! grep -n '://' requirements.txt requirements-dev.txt

# The release's date, and not the build's: the same sources make the same bytes (deploy/debian/build.py takes it too).
build: setup
	SOURCE_DATE_EPOCH=$$(date -d "$$(sed -n 's/^ -- .*>  //p' deploy/debian/changelog | head -1)" +%s) \
		$(BIN)/python -m hatchling build -t wheel

deb: setup
	@$(BIN)/python deploy/debian/build.py $(if $(ARCH),--architecture $(ARCH))

sbom: setup
	@$(BIN)/python deploy/sbom.py

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .fuzz
