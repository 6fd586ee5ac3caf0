# make demo: hear what rvq does.  make test: check that it does.  Needs Python 3.10 or newer; see README.md.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test clean

demo: .venv/installed
	mkdir -p demo
	$(BIN)/python benchmarks/recording.py demo/demo.wav
	$(BIN)/rvq encode -f demo/demo.wav -b 6kbps
	$(BIN)/rvq decode -f demo/demo.rvq -o demo/decoded.wav
	$(BIN)/rvq info demo/demo.rvq
	$(BIN)/rvq compare demo/demo.wav demo/decoded.wav

test: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(INSTALL) -e .
	touch $@

.venv/installed-test: .venv/installed
	$(INSTALL) -e '.[test]'
	touch $@

clean:
	rm -rf .venv demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
