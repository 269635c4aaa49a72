# The same targets here and in CI. `pip install -e '.[dev]'` first.
PYTHON ?= python

.PHONY: test check wheel-test portability

test:  ## everything the tests cover
	$(PYTHON) -m pytest

check:  ## lint, format, types, import contracts
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	lint-imports

wheel-test:  ## the built wheel alone, without torch: newest and oldest dependencies
	.ci/wheel-test

portability:  ## the shipped model's answers on other CPUs, emulated; skips where it cannot
	.ci/portability
