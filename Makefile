# make serve | test | soak | lint | schema | docs | bench | bench-large: each sets itself up on a machine with Python 3.11
# or newer and make. `schema` and `docs` write the files that are generated from the code; `lint` fails when one is stale.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# Byte code is written even where the environment forbids it: each start of a server takes a second less.
export PYTHONDONTWRITEBYTECODE :=

PAGES := settings limits architecture

# One process more than cores: some tests wait. tests/conftest.py says which files come first.
PARALLEL := -n 3 --dist loadfile --no-loadscope-reorder

.PHONY: setup serve test soak lint schema docs bench bench-large lock
.DEFAULT_GOAL := serve

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@echo "setup: making .venv (the first time takes about a minute)"
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "setup: Python 3.11 or newer is needed; try make PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "setup: installing requirements.lock"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

serve: $(READY)
	@$(BIN)/python -m caret serve --stop-with-parent

test: $(READY)
	$(BIN)/python -m pytest $(PARALLEL)

# The tests that look for what happens rarely, with larger numbers.
soak: $(READY)
	CARET_TEST_SOAK=1 $(BIN)/python -m pytest $(PARALLEL) -m soak --timeout=7200

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(BIN)/python -m caret schema | diff -u schema.graphql - || (echo "schema.graphql is stale: run make schema"; exit 1)
	@for page in $(PAGES); do $(BIN)/python -m caret docs $$page | diff -u docs/$$page.md - || { echo "docs/$$page.md is stale: run make docs"; exit 1; }; done

schema: $(READY)
	$(BIN)/python -m caret schema > schema.graphql

# The pages and parts of docs/ that are generated from the code.
docs: $(READY)
	@for page in $(PAGES); do $(BIN)/python -m caret docs $$page > docs/$$page.new && mv docs/$$page.new docs/$$page.md || exit 1; done

bench: $(READY)
	$(BIN)/python -m bench

# A million chunks, ten thousand notes: it may take an hour, and 18 GB of disk where TMPDIR is.
bench-large: $(READY)
	$(BIN)/python -m bench large

# After a change of the dependencies; needs uv on the path.
lock:
	uv pip compile pyproject.toml --extra dev --generate-hashes --universal --no-header --quiet -o requirements.lock
