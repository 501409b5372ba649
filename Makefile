# Gnomon, from nothing: make demo · make test · make bench · make lint · make docs · make clean
#
# Needs Python 3.11 or newer with venv, and a network for the first install. Everything it makes is in .venv and, compiled kernels,
# in the user's cache directory; `make` again installs only what pyproject.toml changed.

PIP  := 26.3
VENV := .venv
BIN  := $(VENV)/bin
DONE := $(VENV)/.installed
ARGS ?=

.PHONY: all demo test bench lint docs clean

all: $(DONE)

demo: $(DONE)
	@$(BIN)/gnomon demo $(ARGS)

test: $(DONE)
	@$(BIN)/python -m pytest -n 2 --dist loadfile --max-worker-restart 0 $(ARGS)

bench: $(DONE)
	@$(BIN)/gnomon bench $(ARGS)

lint: $(DONE)
	@$(BIN)/ruff check src tests

docs: $(DONE)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs --quiet build --strict

clean:
	rm -rf $(VENV) site .pytest_cache .hypothesis .ruff_cache .bench dist
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# pip of Python 3.11 cannot read dependency groups, so the venv gets one that can.
$(DONE): pyproject.toml Makefile
	@python=$$(for p in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
	    $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done); \
	[ -n "$$python" ] || { printf 'gnomon: no Python 3.11 or newer is installed\n\nhint: apt-get install python3, or make PYTHON=/path/to/python\n' >&2; exit 1; }; \
	$$python -c 'import ensurepip, venv' 2>/dev/null || \
	    { printf 'gnomon: %s cannot make virtual environments\n\nhint: apt-get install python3-venv\n' "$$python" >&2; exit 1; }; \
	[ -x $(BIN)/python ] || $$python -m venv $(VENV)
	@echo 'gnomon: installing into $(VENV)' >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check pip==$(PIP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[study,tui]' --group dev
	@touch $@
