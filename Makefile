# make study: install, run the embedded study, print where its figure and table are.   make test: install, run the tests.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PRESET ?= digits
OUT    ?= studies/$(PRESET)
FAULTS ?= 100
SEED   ?= 0

.PHONY: study test test-all chaos cluster-test coverage minimum mutants lint format methods docs lock help clean

help:            ## this list
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

study: $(VENV)/installed  ## run a preset and its analysis (PRESET=digits OUT=studies/digits)
	$(BIN)/python sweeps/full_study.py --preset $(PRESET) --out $(OUT)
	$(BIN)/python -m analysis $(OUT)

test: $(VENV)/installed-dev  ## the test suite
	$(BIN)/pytest -n 2 --dist worksteal -m "not slow"

test-all: $(VENV)/installed-dev  ## the test suite with the long tests, but those of make chaos and make cluster-test
	$(BIN)/pytest -n 3 --dist worksteal -m "not campaign and not cluster"

coverage: $(VENV)/installed-dev  ## which lines and branches the quick tests run; fails below 90 %
	$(BIN)/pytest -n 2 --dist worksteal -m "not slow" --cov --cov-report=term

minimum: $(BIN)/pip  ## the quick tests with the oldest versions that pyproject.toml allows
	$(BIN)/pip install -qq uv
	$(BIN)/uv venv --quiet --clear $(VENV)-minimum
	$(BIN)/uv pip install --quiet --python $(VENV)-minimum/bin/python --resolution lowest-direct --editable '.[dev]'
	$(VENV)-minimum/bin/python -m pytest -n 2 --dist worksteal -m "not slow"

chaos: $(VENV)/installed-dev  ## 100 faults against a study that runs, and the proof that none did harm (FAULTS=100 SEED=0)
	$(BIN)/python tests/chaos/campaign.py --faults $(FAULTS) --seed $(SEED) --log studies/chaos.log --markdown studies/chaos.md

cluster-test: $(VENV)/installed-dev  ## Slurm and autoscaling imitated; ray up, a study and ray down over SSH, on hosts made here (Debian, as root)
	$(BIN)/pytest -m cluster
	tests/clusters/cluster_test.sh $(BIN)

mutants: $(VENV)/installed-dev  ## small faults set into pruning/ and analysis/statistics/intervals_and_tests.py, and which of them no test sees (hours)
	$(BIN)/mutmut run --max-children 2 $(MUTANTS)
	$(BIN)/mutmut results

lint: $(VENV)/installed-dev  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/installed-dev  ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

methods: $(VENV)/installed  ## write the table of methods in docs/ from their cards
	$(BIN)/python -m pruning.registry > docs/methods.md

docs: $(VENV)/installed-docs  ## the documentation as a site that works offline, in site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "open site/index.html"

lock: $(BIN)/pip  ## renew requirements.lock: the newest versions that fit, for all systems
	$(BIN)/pip install -qq uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --upgrade --no-annotate \
		--custom-compile-command 'make lock' --output-file requirements.lock pyproject.toml clusters/requirements.in

clean:           ## remove the environment and the caches; studies stay
	rm -rf $(VENV) $(VENV)-minimum .pytest_cache .mypy_cache .ruff_cache .coverage* *.egg-info

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 ..."; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --upgrade pip

$(VENV)/installed: pyproject.toml | $(BIN)/pip
	@echo "installing (PyTorch and Ray are large; this takes a few minutes the first time)"
	$(BIN)/pip install -qq --editable .
	@touch $@

$(VENV)/installed-dev: pyproject.toml | $(BIN)/pip
	@echo "installing with the developers' tools"
	$(BIN)/pip install -qq --editable '.[dev]'
	@touch $@ $(VENV)/installed $(VENV)/installed-docs

$(VENV)/installed-docs: pyproject.toml | $(BIN)/pip
	@echo "installing with what builds the documentation"
	$(BIN)/pip install -qq --editable '.[docs]'
	@touch $@ $(VENV)/installed
