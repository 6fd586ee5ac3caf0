# make demo: hear what rvq does.  make test: check that it does.  Needs Python 3.10 or newer; see README.md.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test test-plain clean

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
	$(MAKE) test-plain

# The command line's tests where nothing is installed but what `rvq` needs: no torch, above all.
PLAIN := .venv-plain/bin
test-plain: .venv-plain/installed
	! $(PLAIN)/python -c 'import torch' 2>/dev/null
	$(PLAIN)/python -m pytest tests/test_cli.py tests/test_cli_encode.py tests/test_cli_decode.py \
		tests/test_cli_files.py tests/test_cli_tokens.py tests/test_faults.py tests/test_pipes.py \
		tests/test_imports.py tests/test_without_torch.py

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(INSTALL) -e .
	touch $@

.venv-plain/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-plain
	.venv-plain/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e . pytest hypothesis
	touch $@

.venv/installed-test: .venv/installed
	$(INSTALL) -e '.[test]'
	touch $@

clean:
	rm -rf .venv .venv-plain demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
