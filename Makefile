# make demo      run the main job: every file of the standard library through an embedded cluster
# make test      run the tests; TESTS="tests/unit tests/contract" chooses some, for test-all as well
# make test-all  run them from the wheel: on each Python here, with the lowest dependencies, with every
#                extra; ENVIRONMENTS="lowest 3.12" chooses some
# make matrix    run what touches grpcio or pyarrow, from the wheel, on each Python with the oldest and the newest
#                of both; ENVIRONMENTS="3.13-old-new" chooses a Python, grpcio and pyarrow
# make test-ci   run the tests as CI does: up to three that failed once more, each alone (scripts/run_tests.py)
# make soak      run the long forms: ten kills in 3,000 tasks, a fortnight of polls, 10,000 schedules of
#                faults, 100 kills of a data folder; then beside the official SDK (half an hour)
# make docs      build the documentation's site, strictly and offline, into .cache/docs/site
# make docs-serve  the same, and serve it at http://127.0.0.1:8000 until Ctrl-C; PORT=8001 elsewhere
# make dist      build wheels and sdists of the library and the plugins into dist, twice with the same bytes;
#                check them, list their materials; VERSION=0.1.0 makes sure of the version
# make dist-install  install these wheels on each Python here, and use them
# make check     format, lint, types, words, spelling, prose, layers, generated code, dependencies
# make bench     compare speed with the official SDK and bare gRPC stubs (a quarter of an hour);
#                BENCH="--grpcio 1.71 1.75 latest" compares versions of grpcio, BENCH=--help says more
#
# Needs Python 3.10 or newer with venv and pip, and nothing else: everything goes into .venv.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.10; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
DOCS := .cache/docs/venv
BUILD := .cache/dist/venv
READY := .venv/.ready

SPELLED := README.md CONTRIBUTING.md CHANGELOG.md SECURITY.md docs src examples plugins scripts deploy benchmarks
UNSPELLED := *.svg,*.png,*.ipynb,*.json,*_pb2*,*/target/*,*/static/*,*/tests/*,*/__pycache__/*,*.egg-info/*

.PHONY: demo test test-ci test-all matrix soak check docs docs-serve dist dist-install protos bench clean

demo: $(READY)
	@$(BIN)/python examples/stdlib_census/client.py

test: $(READY)
	@$(BIN)/python -m pytest $(TESTS)

test-ci: $(READY)
	@$(BIN)/python scripts/run_tests.py $(TESTS)

test-all:
	@if [ -z "$(PYTHON)" ]; then \
		echo "missing: Python 3.10 or newer (none of python3, python3.13 ... python3.10 is one)"; exit 1; fi
	@$(PYTHON) scripts/test_all.py $(ENVIRONMENTS) $(if $(TESTS),--tests $(TESTS))

matrix:
	@$(PYTHON) scripts/test_all.py --matrix $(ENVIRONMENTS) $(if $(TESTS),--tests $(TESTS))

soak: $(READY)
	@FLAME_SOAK=1 $(BIN)/python -m pytest -s tests/fault/test_outage.py tests/fault/test_kill.py \
		tests/fault/test_checkpoint.py tests/fault/test_soak.py tests/fault/test_schedules.py
	@$(BIN)/python benchmarks/outage.py

check: $(READY)
	@$(BIN)/ruff format --check --quiet . && echo "format: ok"
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python scripts/check_words.py
	@$(BIN)/codespell $(SPELLED) --ignore-words scripts/spelling.txt --skip "$(UNSPELLED)" && echo "spelling: ok"
	@$(BIN)/python scripts/check_prose.py
	@$(BIN)/lint-imports
	@$(BIN)/python scripts/generate_protos.py --check
	@$(BIN)/python scripts/generate_reference.py --check
	@$(BIN)/python -m pip check

docs: $(DOCS)/.ready
	@$(DOCS)/bin/python scripts/site/build.py $(if $(OUTPUT),--output $(OUTPUT))

docs-serve: docs
	@$(DOCS)/bin/python scripts/site/serve.py $(or $(OUTPUT),.cache/docs/site) --port $(or $(PORT),8000)

dist: $(BUILD)/.ready
	@$(BUILD)/bin/python scripts/build_dist.py $(if $(VERSION),--version $(VERSION))

dist-install:
	@$(PYTHON) scripts/install_dist.py

protos: $(READY)
	@$(BIN)/python scripts/generate_protos.py

bench: $(READY)
	@$(BIN)/python benchmarks/compare.py $(BENCH)

clean:
	rm -rf .venv .cache dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(READY): pyproject.toml scripts/setup_venv.py
	@if [ -z "$(PYTHON)" ]; then \
		echo "missing: Python 3.10 or newer (none of python3, python3.13 ... python3.10 is one)"; exit 1; fi
	@$(PYTHON) scripts/setup_venv.py
	@touch $@

.cache/%/venv/.ready: pyproject.toml scripts/setup_venv.py
	@if [ -z "$(PYTHON)" ]; then \
		echo "missing: Python 3.10 or newer (none of python3, python3.13 ... python3.10 is one)"; exit 1; fi
	@$(PYTHON) scripts/setup_venv.py $*
	@touch $@
