# What there is to do. Needs only Python 3.11 or newer (with venv and pip) and make.

PYTHON ?= python3
PORT ?= 8000
# How many test processes; each has a database of its own.
N ?= 2

bin := .venv/bin
manage := $(bin)/python manage.py

.DEFAULT_GOAL := help
.PHONY: help venv assets demo test lint format bench messages clean reset

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

# Done again when requirements.txt is not the one that was installed.
venv: ## Install the pinned requirements into .venv
	@cmp -s requirements.txt .venv/installed.txt || { \
		$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 demo")' && \
		echo "Installing the requirements into .venv" && \
		{ test -x $(bin)/python || $(PYTHON) -m venv .venv; } && \
		$(bin)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt && \
		cp requirements.txt .venv/installed.txt; }

assets: venv ## Compile style sheet and messages
	@$(manage) build_assets

# exec: make itself is then the parent that the demo must not outlive.
demo: venv ## Run everything on this machine with a sample programme (PORT=8000)
	@exec env STEADFAST_MODE=demo $(manage) demo --port $(PORT) --stop-with-parent

test: venv ## Run all tests (N=2 processes)
	$(bin)/python -m pytest -n $(N)

lint: venv ## Check style, types, imports, templates and migrations
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/mypy .
	$(bin)/lint-imports
	find templates -name '*.html' -exec $(bin)/djade --check --target-version 5.2 {} +
	STEADFAST_MODE=test $(manage) makemigrations --check --dry-run

format: venv ## Put style and import order right
	$(bin)/ruff check --fix .
	$(bin)/ruff format .
	find templates -name '*.html' -exec $(bin)/djade --target-version 5.2 {} +

bench: venv ## Measure against stated floors and write docs/benchmarks.md
	$(bin)/python -m bench

messages: venv ## Collect what is to be translated (developers; needs GNU gettext)
	$(manage) makemessages --locale zh_Hans --no-obsolete --add-location file --ignore .venv

clean: ## Remove what was built; keeps .venv and data
	rm -rf static/build staticfiles .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find locale -name '*.mo' -delete
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

reset: ## Throw the demo's and the tests' data away
	rm -rf .data
