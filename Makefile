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
TESTS  := unit simulation conformance integration security acceptance
# Most tests wait for a server more than they compute; each worker has servers of its own. Acceptance
# tests start whole sets of programs, whose clocks more than two at once would starve on two cores.
WORKERS ?= 4
ACCEPTANCE_WORKERS ?= $(if $(filter file,$(origin WORKERS)),2,$(WORKERS))
workers = $(if $(filter acceptance,$(1)),$(ACCEPTANCE_WORKERS),$(WORKERS))
pytest  = $(PYTHON) -m pytest --numprocesses $(call workers,$(1)) --dist worksteal

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
# kept in $(LOGS) and shown when it fails, or as it comes with VERBOSE=1. Tests that were skipped are
# listed, so that nobody misses them.
define part
	@mkdir -p $(LOGS); log='$(LOGS)/$(subst $(space),-,$(1)).log'; start=$$(date +%s); \
	if [ -n "$(VERBOSE)" ]; then echo '── $(1)'; { $(2); } || exit 1; printf '%-44s' ' '; \
	else printf '%-44s' '$(1)'; \
	    { $(2); } > "$$log" 2>&1 || { echo ' failed'; cat "$$log"; exit 1; }; fi; \
	printf '%6d s\n' $$(($$(date +%s) - start)); \
	if [ -f "$$log" ]; then sed -n 's/^SKIPPED/    skipped:/p' "$$log"; fi
endef

# A part that cannot run here: its title, why. It stands among the others, so that nobody misses it.
define left_out
	@printf '%s\n' '$(1): left out, $(2)'
endef

space := $(subst ,, )

test: check
	$(if $(LEDGER_TEST_KAFKA),,$(call part,Apache Kafka in the cache,$(PYTHON) -c $(FETCH)))
	$(foreach folder,$(TESTS),$(call part,$(folder) tests,$(call pytest,$(folder)) tests/$(folder))$(newline))
	$(if $(LEDGER_TEST_PG),$(call left_out,$(OLDEST),LEDGER_TEST_PG names the server),$(call \
	    part,$(OLDEST),LEDGER_TEST_PG_RELEASE=14 $(call pytest) $(ON_OLDEST)))
	@echo 'everything passed'

check: $(VENV)/.development
	$(call part,lint,$(VENV)/bin/ruff check .)
	$(call part,format,$(VENV)/bin/ruff format --check .)
	$(call part,types,$(VENV)/bin/mypy ledger agents migrations tests ops)
	$(call part,import rules,$(VENV)/bin/lint-imports --no-cache)
	$(call part,licences,$(PYTHON) -m ops.supply.licences > /dev/null)
	$(call part,shape and names,$(PYTHON) -m pytest -q tests/unit/test_shape.py tests/unit/test_names.py)
	$(call part,documents,$(PYTHON) -m pytest -q tests/unit/test_docs.py)

# What differs between server releases shows in these; the tests above ran on the newest one. Of the
# command line those that say what a database of a fleet has, and how folders of other tools run.
OLDEST    := migrations on PostgreSQL 14
ON_OLDEST := tests/integration/migrations tests/integration/test_examples_run.py \
    $(addprefix tests/integration/cli/test_,two_histories.py half_done.py db_formats.py) \
    tests/security/test_authors.py

# Before the tests, so that none of them waits for a download.
FETCH := 'from ledger.embedded.jars import kafka_jars; print(kafka_jars(print))'

define newline


endef

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
