# The commands of this project. `make help` lists them; nothing else has to be installed but make and
# Python 3.11 or later with its venv module. Kept to what the make of macOS (3.81) knows.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help env env-dev run ui backfill test accessibility mutants bench check check-format check-lint check-types check-sql format golden lock clean

UV_VERSION := 0.13.9
VENV := .venv
PYTHON := $(VENV)/bin/python
UV := $(VENV)/bin/uv

# What the commands take; an empty value means the default that the command itself knows.
PERIOD :=
FROM :=
DATA :=
EFFECTS :=
PORT :=
FROM_PERIOD :=
TO_PERIOD :=
PREVIEW :=
# Which Python makes the environment: BASE_PYTHON=python3.12, from the command line or the shell; else the newest of
# these that is found.
BASE_PYTHONS := $(or $(BASE_PYTHON),python3.13 python3.12 python3.11 python3)
# More words for pytest: make test TESTS="tests/carm -k calendar"
TESTS :=
PROFILE := small
# More words for the benchmarks: make bench BENCH="--only html --rounds 1"
BENCH :=

help:
	@echo "make run                   one statement month through Airflow, with a demo source if there is none"
	@echo "                           PERIOD=2021-12  FROM=folder of CSV files  DATA=folder  EFFECTS=auto|live|shadow"
	@echo "make ui                    Airflow in the browser; PORT=8080  DATA=folder"
	@echo "make backfill              several months, in shadow unless EFFECTS=live;"
	@echo "                           FROM_PERIOD=2021-07 TO_PERIOD=2021-12  DATA=folder; PREVIEW=yes only says what it would do"
	@echo "make test                  every test but those in a browser; TESTS=\"words for pytest\""
	@echo "make accessibility         the tests in a browser: what people receive, by axe-core; needs Chromium or Google Chrome"
	@echo "make mutants               changes the clean-up's rules in small ways; a test must notice each (about twenty minutes)"
	@echo "make bench                 the benchmarks, as ratios; PROFILE=small, medium or national; BENCH=\"--only html\""
	@echo "make check                 format, lint, types and SQL lint; changes nothing"
	@echo "make format                formats Python and SQL"
	@echo "make golden                rewrites the golden files and the generated pages of docs/; review the diff"
	@echo "make lock                  resolves requirements*.txt into the locks anew"
	@echo "make env                   only the environment, in $(VENV)"
	@echo "make clean                 removes the environment and the caches; never the data folder"

# --- What it does -----------------------------------------------------------------------------------------------

run: env
	@$(PYTHON) -m include.local_airflow run --period "$(PERIOD)" --from "$(FROM)" --data "$(DATA)" \
	    --effects "$(EFFECTS)" --port "$(PORT)"

ui: env
	@$(PYTHON) -m include.local_airflow ui --data "$(DATA)" --port "$(PORT)"

backfill: env
	@$(PYTHON) -m include.local_airflow backfill --from-period "$(FROM_PERIOD)" --to-period "$(TO_PERIOD)" \
	    --data "$(DATA)" --effects "$(EFFECTS)" --port "$(PORT)" --preview "$(PREVIEW)"

# --- How it is proved -------------------------------------------------------------------------------------------

# Two workers, because two cores are what the time limits are promised for. A file's tests share a worker: its fixtures
# are made once, and some of its tests stand in a row. In the order that tests/conftest.py gives them, because the files
# of many tests, which xdist would begin with, are the quick ones here, and one worker would wait for the other at last.
test: env-dev
	@$(PYTHON) -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(TESTS)

# The only thing here that must be installed by hand is the browser; without it, one sentence says so.
accessibility: env-dev
	@$(PYTHON) -m pytest tests/browser $(TESTS)

# Who changes a rule of the clean-up runs this too; it writes the score into docs/mutation-testing.md.
mutants: env-dev
	@$(PYTHON) -m tests.mutation --write

# Alone on its machine: what else runs there is measured too. PostgreSQL comes with the packages for development.
bench: env-dev
	@$(PYTHON) -m bench --profile "$(PROFILE)" $(BENCH)

check: check-format check-lint check-types check-sql

check-format: env-dev
	@$(PYTHON) -m ruff format --check .

check-lint: env-dev
	@$(PYTHON) -m ruff check .

check-types: env-dev
	@$(PYTHON) -m mypy

check-sql: env-dev
	@$(PYTHON) -m sqlfluff lint --disable-progress-bar include/sql

format: env-dev
	@$(PYTHON) -m ruff format .
	@$(PYTHON) -m ruff check --fix .
	@$(PYTHON) -m sqlfluff fix --disable-progress-bar include/sql

# What people receive is kept as golden files. Rewritten on purpose only, and the diff is reviewed like code.
golden: env-dev
	@CARM_REWRITE_GOLDEN=1 $(PYTHON) -m pytest -q tests/statements tests/notices tests/quarterly \
	    tests/certificates/test_certificate_page.py tests/cli/test_why_card.py tests/dags/test_architecture_page.py
	@$(PYTHON) -m include.quality.catalogue
	@$(PYTHON) -m include.rules_page
	@git status --short tests docs

# --- The environment --------------------------------------------------------------------------------------------
# A stamp in the environment says what was installed, so a second call costs nothing and a changed lock installs anew.

env: $(VENV)/.runtime-installed $(VENV)/.project-installed

env-dev: $(VENV)/.dev-installed $(VENV)/.project-installed

# A Python without ensurepip (Debian without python3-venv) cannot make an environment, so it does not count.
$(VENV)/.created:
	@for python in $(BASE_PYTHONS); do \
	    if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	        echo "Making the environment $(VENV) with $$("$$python" --version)"; \
	        "$$python" -m venv $(VENV) && touch $@; exit $$?; \
	    fi; \
	done; \
	echo "no Python 3.11 or later with the venv module was found: install one" \
	     "(Debian, Ubuntu: apt install python3-venv; macOS: brew install python@3.13) and run make again" >&2; \
	exit 1

$(VENV)/.uv-$(UV_VERSION): $(VENV)/.created
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check "uv==$(UV_VERSION)"
	@touch $@

# uv reads no pip configuration: a mirror and a certificate that are set for pip are handed on, and where uv still
# cannot get the packages, pip tries with all its settings. Both compile to byte code here, because Airflow would
# else do it at its first start.
define install_lock
	@echo "Installing the packages of $(1); the first time takes about half a minute"
	@pip_setting() { $(PYTHON) -m pip config list 2>/dev/null | sed -n "s/^global\.$$1='\(.*\)'$$/\1/p"; }; \
	mirror="$${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-$$(pip_setting index-url)}}"; \
	certificate="$${SSL_CERT_FILE:-$${PIP_CERT:-$$(pip_setting cert)}}"; \
	if [ -n "$$mirror" ]; then UV_DEFAULT_INDEX="$$mirror"; export UV_DEFAULT_INDEX; fi; \
	if [ -n "$$certificate" ]; then SSL_CERT_FILE="$$certificate"; export SSL_CERT_FILE; fi; \
	$(UV) pip install --python $(PYTHON) --quiet --compile-bytecode -r $(1) || { \
	    echo "uv could not install the packages: trying pip, which reads your pip configuration and takes longer" >&2; \
	    $(PYTHON) -m pip install --quiet --disable-pip-version-check -r $(1); }
endef

$(VENV)/.runtime-installed: requirements.lock $(VENV)/.uv-$(UV_VERSION)
	$(call install_lock,requirements.lock)
	@touch $@

# The lock for development holds the runtime lock whole, so the runtime need not be installed again after it.
$(VENV)/.dev-installed: requirements-dev.lock $(VENV)/.uv-$(UV_VERSION)
	$(call install_lock,requirements-dev.lock)
	@touch $(VENV)/.runtime-installed $@

# uv has the build backend inside itself: no download, no build environment.
$(VENV)/.project-installed: pyproject.toml $(VENV)/.uv-$(UV_VERSION)
	@$(UV) pip install --python $(PYTHON) --quiet --offline --no-deps --editable .
	@touch $@

# --universal: one lock for every platform and for each Python from 3.11 on.
lock: $(VENV)/.uv-$(UV_VERSION)
	@$(UV) pip compile --python $(PYTHON) --quiet --universal --python-version 3.11 --no-emit-index-url \
	    --custom-compile-command "make lock" --output-file requirements.lock requirements.txt
	@$(UV) pip compile --python $(PYTHON) --quiet --universal --python-version 3.11 --no-emit-index-url \
	    --custom-compile-command "make lock" --constraint requirements.lock \
	    --output-file requirements-dev.lock requirements-dev.txt

clean:
	rm -rf $(VENV) .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path "./data/*" -prune -exec rm -rf {} +
