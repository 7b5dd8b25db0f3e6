# From a fresh clone, `make demo` is enough. Needs Python 3.11 or 3.12 with venv; nothing is written outside .venv
# and the per-user cache of jars.

PY       := .venv/bin/python
PIP      := $(PY) -m pip --disable-pip-version-check --no-input
PYTHONS   = $(or $(PYTHON),python3.11 python3.12 python3)
PACKAGES  = $(wildcard bench costmodel reports)
ARGS     ?=# for pytest: make test ARGS='-k partitions'
BASE     ?= official# for the images: official, debian, or any image with the right Python
UPGRADE  ?=# for the lock: make lock UPGRADE=--upgrade

.DEFAULT_GOAL := help
.PHONY: help setup packages demo test check gallery images bench lock clean
.DELETE_ON_ERROR:

help:  ## what there is to make
	@sed -n 's/^\([a-z]*\):.*##/\1\t/p' $(MAKEFILE_LIST) | expand -t 9

setup: packages .venv/bin/streamgauge  ## .venv, locked packages, the command, Java and jars; quick when they are there
	@$(PY) -m bench.toolchain >&2

demo: setup  ## the main job, end to end: measured, judged, priced, told
	@.venv/bin/streamgauge run quickstart

test: setup  ## all tests; ARGS='-k name' narrows
	@$(PY) -m pytest --numprocesses=2 $(ARGS)

check: packages  ## style and types
	@failed=; \
	$(PY) -m ruff check . || failed=yes; \
	$(PY) -m ruff format --check . || failed=yes; \
	$(PY) -m mypy $(PACKAGES) || failed=yes; \
	[ -z "$$failed" ]

images: setup  ## the container images, for --backend compose and testcontainers; BASE=debian needs no image registry
	@$(PY) -m bench.backends.containers.images $(BASE)

gallery: setup  ## docs/gallery again, from the recorded studies
	@.venv/bin/streamgauge gallery

bench: setup  ## speed, as ratios within one run; wants a quiet machine
	@$(PY) -m pytest benchmarks $(ARGS)

# The folder appears under its name only when pip is in it: an interrupted set-up starts over.
.venv/bin/pip:
	@found=; for python in $(PYTHONS); do \
	  if "$$python" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null; \
	  then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "error: no Python 3.11 or 3.12 with venv and ensurepip (looked for: $(PYTHONS));" \
	    "on Debian: apt-get install python3-venv; or name one: make setup PYTHON=/path/to/python3.11" >&2; \
	  exit 1; \
	fi; \
	echo "setup: .venv from $$("$$found" --version)" >&2; \
	"$$found" -m venv --clear .venv

# By content, not by date: a branch switched to and fro installs nothing.
packages: .venv/bin/pip
	@cmp -s requirements.lock .venv/requirements.lock || { \
	  echo "setup: $$(grep -c '==' requirements.lock) packages, by hash, into .venv (600 MB; some minutes the first time)" >&2; \
	  rm -f .venv/requirements.lock; \
	  $(PIP) install --quiet --progress-bar off --require-hashes -r requirements.lock >.venv/pip.log 2>&1 \
	    || { cat .venv/pip.log >&2; echo "error: the packages could not be installed, see above" >&2; exit 1; }; \
	  cp requirements.lock .venv/requirements.lock; \
	}

# What an editable install would leave, without a build back end: the checkout on the path, and the command.
define LAUNCHER
#!/bin/sh
'''exec' "$$(dirname "$$(readlink -f "$$0")")/python" "$$0" "$$@"
' '''
import sys

from bench.cli import main

if __name__ == "__main__":  # not where figures are drawn: a process started for them reads this file too
    sys.exit(main())
endef
export LAUNCHER

.venv/bin/streamgauge: Makefile | packages
	@echo "$(CURDIR)" >"$$($(PY) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/streamgauge.pth"
	@printf '%s\n' "$$LAUNCHER" >$@
	@chmod +x $@

lock:  ## write requirements.lock anew from pyproject.toml; UPGRADE=--upgrade takes newer versions
	@scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && set -e; \
	python3 -m venv "$$scratch/venv"; \
	"$$scratch/venv/bin/pip" install --quiet --disable-pip-version-check uv; \
	cp requirements.lock "$$scratch/requirements.lock"; \
	"$$scratch/venv/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --extra dev $(UPGRADE) --output-file "$$scratch/requirements.lock" pyproject.toml; \
	if grep -n '://' "$$scratch/requirements.lock"; then echo "error: the lock names an address" >&2; exit 1; fi; \
	cp "$$scratch/requirements.lock" requirements.lock

clean:  ## .venv and the tools' caches; results and the per-user cache of jars stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
	find $(PACKAGES) tests -name __pycache__ -prune -exec rm -rf {} +
