# Every target sets up what it needs: `make run` and `make test` are all that a fresh clone asks for.
# Needs Python 3.11 or later, make and git; PYTHON=... names another Python, ARGS=... is passed on.

VENV := .venv
BIN := $(VENV)/bin
# The environment's own tools, such as envoy, are found first.
IN_VENV := PATH="$(CURDIR)/$(BIN):$$PATH"
PYTEST := $(IN_VENV) python -m pytest
STAMP := $(VENV)/.installed
DISTRIBUTIONS := aeraki_core aeraki_plugins_dubbo aeraki_plugins_kafka aeraki_plugins_redis \
	aeraki_plugins_thrift aeraki_plugins_zookeeper

ARGS ?=
N ?= 2000
MINUTES ?= 60
ROUNDS ?= 10
# Workers of pytest-xdist.
WORKERS ?= auto

export VENV WORKERS

.DEFAULT_GOAL := help
.PHONY: help setup lock run test test-unit test-mesh judge live test-lowest test-newest test-install lint format golden \
	soak chaos fuzz bench docs screenshots rig rig-build peers peer-packages rig-packages build reproducible sbom audit release-notes clean

help: ## show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## make the development environment, .venv

$(STAMP): requirements/dev.txt $(DISTRIBUTIONS:%=%/pyproject.toml) scripts/venv.sh
	@scripts/venv.sh $(VENV)

lock: ## pin the newest versions in requirements/ (ARGS="PACKAGE...": move only these)
	@scripts/lock.sh $(ARGS)

run: $(STAMP) ## run the controller over deploy/samples, filters to build/filters (ARGS=--once: one pass)
	@mkdir -p build/filters
	$(BIN)/aeraki run --source files -f deploy/samples --sink files --to build/filters $(ARGS)

test: $(STAMP) peer-packages ## run the tests that need no mesh
	@scripts/test.sh $(ARGS)

test-unit: $(STAMP) ## run the unit tests, which need nothing but Python
	$(PYTEST) tests/unit -n $(WORKERS) $(ARGS)

test-mesh: $(STAMP) peers rig-build ## run the tests with a real API server and istiod
	$(PYTEST) -m mesh $(ARGS)

judge: $(STAMP) rig-build ## show N random meshes to a real istiod, with and without our filters
	AERAKI_JUDGE_MESHES=$(N) $(PYTEST) -m mesh tests/istio/judge $(ARGS)

live: $(STAMP) peers rig-build ## run each scenario of live weights ROUNDS times, with real clients and faults
	AERAKI_LIVE_ROUNDS=$(ROUNDS) $(PYTEST) -m mesh tests/istio/test_live_weights.py -rP $(ARGS)

test-lowest: $(STAMP) ## run the unit tests with the oldest dependencies that we allow
	@scripts/test_lowest.sh

test-newest: $(STAMP) peer-packages ## run the tests that need no mesh with the newest version of everything
	@scripts/test_newest.sh

test-install: $(STAMP) ## build all distributions, check them, install two with plain pip
	@scripts/test_install.sh

lint: $(STAMP) ## run ruff, mypy, import-linter and the check for protocol names
	@scripts/lint.sh

format: $(STAMP) ## format the code and mend what ruff can mend
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

golden: $(STAMP) ## write the golden files anew; read the difference before you commit it
	$(PYTEST) tests/golden --regenerate $(ARGS)

fuzz: $(STAMP) ## run the property tests with N examples each
	AERAKI_FUZZ_EXAMPLES=$(N) $(PYTEST) tests/fuzz --timeout=0 -n $(WORKERS) $(ARGS)

soak: $(STAMP) rig-build ## change a real mesh at random for MINUTES; anything lost, wrong or needless fails
	$(IN_VENV) python -m tests.soak --minutes $(MINUTES) $(ARGS)

chaos: $(STAMP) rig-build ## the same while API server, etcd, istiod and controllers are killed and paused
	$(IN_VENV) python -m tests.soak --chaos --minutes $(MINUTES) $(ARGS)

bench: $(STAMP) ## run the benchmarks
	@$(IN_VENV) python -m benchmarks $(ARGS)

docs: ## build the pages as a site into build/site; a broken link or anchor fails
	@scripts/docs.sh $(ARGS)

screenshots: $(STAMP) ## draw the pictures of the docs anew, in Chromium
	$(IN_VENV) python -m tests.page

rig: $(STAMP) rig-packages ## start a real mesh on this machine
	$(IN_VENV) python -m tests.rig $(ARGS)

build: $(STAMP) ## build wheel and sdist of each distribution into build/dist
	@rm -rf build/dist
	@set -e; for name in $(DISTRIBUTIONS); do \
		$(BIN)/python -m build --no-isolation --outdir build/dist $$name; \
	done

# Files in an archive have the time of the commit, so that every build of it gives the same bytes.
build reproducible sbom: export SOURCE_DATE_EPOCH = $(shell git log -1 --format=%ct 2>/dev/null || echo 1577836800)

reproducible: build ## build everything a second time and compare the files
	@scripts/reproducible.sh

sbom: build ## write an SBOM (CycloneDX) of each wheel into build/sbom
	@rm -rf build/sbom
	@$(BIN)/python scripts/sbom.py build/dist build/sbom

audit: $(STAMP) ## look for known vulnerabilities in the pinned versions (AUDIT_STRICT=1: fail without a database)
	@scripts/audit.sh

release-notes: $(STAMP) ## write build/release-notes.md of VERSION; fail unless everything has that version
	@$(BIN)/python scripts/release_notes.py $(VERSION) build/release-notes.md

clean: ## remove everything that make made
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Servers and tools from the distribution's packages: installed as root, named otherwise.
# Without them their tests are skipped, and say so; in CI that is a failure.
peer-packages:
	@tests/peers/setup.sh || [ -z "$$CI" ]

peers: $(STAMP) peer-packages
	@if command -v mvn >/dev/null && command -v javac >/dev/null; then $(IN_VENV) python -m tests.peers; fi

rig-packages:
	@tests/rig/setup.sh

rig-build: $(STAMP) rig-packages ## compile kube-apiserver, istiod and helm into the user's cache, once
	@tests/deploy/setup.sh
	@$(IN_VENV) python -m tests.rig build
	@$(IN_VENV) python -m tests.deploy.binaries
