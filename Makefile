# Two commands do everything on a machine that has Python 3.11 or later and make:
#
#   make demo     a fleet, a rollout, a failure, a rollback (BUS=local: one process, no broker)
#   make test     every check and every test
#
# Both make their own virtual environment in .venv and fetch what they need.

BUS    ?= kafka
VENV   := .venv
PYTHON := $(VENV)/bin/python
PIP     = $(PYTHON) -m pip install --disable-pip-version-check
# Wheels only: what building from sources needs is not in the list, and would run here unverified.
# On a platform without a wheel (postgast on an Intel Mac): make demo WHEELS=
WHEELS ?= --only-binary :all:
# The list is complete: nothing is looked for beside it, and in the end pip checks that nothing lacks.
HASHED  = $(PIP) --require-hashes --no-deps $(WHEELS) --requirement
# What is installed is from the list, so nothing else is fetched for the checkout itself.
ITSELF  = $(PIP) --no-deps --no-build-isolation --editable . && $(PYTHON) -m pip check && $(COMPILED)
# As for any package that pip installs, also where PYTHONDONTWRITEBYTECODE is set: a program that
# compiles its modules at every start takes 0.6 times as long again until it does anything.
COMPILED = $(PYTHON) -m compileall -q ledger agents migrations ops
LOGS   := $(VENV)/logs
# With VERBOSE=1 everything is shown as it comes, and not only what fails.
VERBOSE ?=
# These go with the checks, so that they run once.
CHECKED := $(addprefix tests/unit/test_,docs.py names.py shape.py)
ALONE  := tests/unit tests/simulation
# In one go, so that each worker starts its servers once, and what waits stands beside what computes:
# a worker begins with the acceptance tests, which start whole sets of programs and wait for them.
SERVED := tests/acceptance tests/conformance tests/integration tests/security
# These wait for a server more than they compute; each worker has servers of its own. The others
# compute, one on each core.
WORKERS ?= 4
# What a worker has read of the tests, the next one need not read again.
pytest  = PYTHONDONTWRITEBYTECODE= $(PYTHON) -m $(or $(2),pytest) --numprocesses $(1) --dist worksteal
# What meets servers and other processes can fail by chance: see there.
TWICE  := tests.support.second_run

.PHONY: help demo test check docs constraints licences sbom venv clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^#   //p' Makefile

demo: $(VENV)/.demo
	@$(PYTHON) ops/demo/demo.py --bus $(BUS)

venv: $(VENV)/.development

# What the manual says of the program, from the program.
docs: $(VENV)/.development
	@$(PYTHON) -m ops.reference

# Which versions are installed, and their hashes. UPGRADE="name name" takes their newest, UPGRADE=all everything's.
constraints: $(VENV)/.development
	@$(PYTHON) -m ops.supply.constraints $(if $(UPGRADE),--upgrade $(filter-out all,$(UPGRADE)))

# Whether everything that is installed may be used under Apache-2.0.
licences: $(VENV)/.development
	@$(PYTHON) -m ops.supply.licences

# What the program consists of, as CycloneDX, in build/.
sbom: $(VENV)/.development
	@$(PYTHON) -m ops.supply.sbom

# One part: its title, its command. One line says that it runs and how long it took; what it writes is
# kept in $(LOGS) and shown when it fails, or as it comes with VERBOSE=1. Tests that were skipped,
# and those that passed at the second go alone, are listed, so that nobody misses them.
define part
	@mkdir -p $(LOGS); log='$(LOGS)/$(subst $(space),-,$(1)).log'; start=$$(date +%s); \
	if [ -n "$(VERBOSE)" ]; then echo '── $(1)'; { $(2); } || exit 1; printf '%-44s' ' '; \
	else printf '%-44s' '$(1)'; \
	    { $(2); } > "$$log" 2>&1 || { echo ' failed'; cat "$$log"; exit 1; }; fi; \
	printf '%6d s\n' $$(($$(date +%s) - start)); \
	if [ -f "$$log" ]; then sed -n 's/^SKIPPED/    skipped:/p;s/^UNSTEADY/    unsteady/p' "$$log"; fi
endef

# A part that cannot run here: its title, why. It stands among the others, so that nobody misses it.
define left_out
	@printf '%s\n' '$(1): left out, $(2)'
endef

space := $(subst ,, )
comma := ,

test: check
	$(if $(LEDGER_TEST_KAFKA),,$(call part,Apache Kafka in the cache,$(PYTHON) -c $(KAFKA)))
	$(if $(LEDGER_TEST_PG),,$(call part,PostgreSQL 14 in the cache,$(PYTHON) -c $(POSTGRES)))
	$(call part,tests without servers,$(call pytest,auto) $(ALONE) $(CHECKED:%=--ignore=%))
	$(call part,tests with servers,$(if $(LEDGER_TEST_PG),,$(ON_OLDEST)) $(call pytest,$(WORKERS),$(TWICE)) $(SERVED))
	$(if $(LEDGER_TEST_PG),$(call left_out,$(OLDEST),LEDGER_TEST_PG names the server))
	@echo 'everything passed'

check: $(VENV)/.development
	$(call part,lint,$(VENV)/bin/ruff check .)
	$(call part,format,$(VENV)/bin/ruff format --check .)
	$(call part,types,$(VENV)/bin/mypy ledger agents migrations tests ops)
	$(call part,import rules,$(VENV)/bin/lint-imports --no-cache)
	$(call part,licences,$(PYTHON) -m ops.supply.licences > /dev/null)
	$(call part,documents$(comma) shape and names,$(PYTHON) -m pytest -q $(CHECKED))

# What differs between server releases shows in these, which run on the newest and on the oldest.
OLDEST    := migrations on PostgreSQL 14
ON_OLDEST := LEDGER_TEST_PG_RELEASE=newest,14

# Before the tests, so that none of them waits for a download.
KAFKA    := 'from ledger.embedded.jars import kafka_jars; print(kafka_jars(print))'
POSTGRES := 'from tests.support.releases import programs; print(programs("14"))'

# The demo needs less than the tests, and is there sooner.
$(VENV)/.demo: pyproject.toml constraints.txt | $(PYTHON)
	@sed '/^# Development/,$$d' constraints.txt > $(VENV)/demo.txt
	$(call part,installing packages and local servers,$(HASHED) $(VENV)/demo.txt)
	$(call part,installing this checkout,$(ITSELF))
	@touch $@

$(VENV)/.development: pyproject.toml constraints.txt | $(PYTHON)
	$(call part,installing packages and development tools,$(HASHED) constraints.txt)
	$(call part,installing this checkout,$(ITSELF))
	@touch $(VENV)/.demo $@

# What is missing is said before anything else happens.
$(PYTHON):
	@for candidate in python3.13 python3.12 python3.11 python3.14 python3 python; do \
	    if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        found=$$candidate; break; fi; done; \
	if [ -z "$$found" ]; then \
	    echo 'Python 3.11 or later is missing. Install it and run make again:'; \
	    echo '  Debian, Ubuntu:  sudo apt install python3 python3-venv'; \
	    echo '  Fedora:          sudo dnf install python3'; \
	    echo '  macOS:           brew install python@3.13'; \
	    exit 1; fi >&2; \
	if ! $$found -c 'import ensurepip, venv' 2>/dev/null; then \
	    echo "$$found cannot make virtual environments: its venv module is missing."; \
	    echo "Install it and run make again:"; \
	    echo "  Debian, Ubuntu:  sudo apt install $$(basename $$found)-venv"; \
	    exit 1; fi >&2; \
	start=$$(date +%s); printf '%-44s' "virtual environment, $$($$found --version)"; \
	$$found -m venv $(VENV) || { rm -rf $(VENV); exit 1; }; \
	printf '%6d s\n' $$(($$(date +%s) - start))

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
