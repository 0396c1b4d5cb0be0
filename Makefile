# Everything runs in .venv, which `make` makes from requirements.lock. `make help` names the targets.
PYTHON ?= python3
PROFILE ?= smoke
ONLY ?=
FRESH ?=
BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help venv reproduce test lab refresh clean

help:
	@echo "make reproduce [PROFILE=smoke|lite|paper] [ONLY=40] [FRESH=1]   run the notebooks, end with a verdict per claim"
	@echo "make test      unit tests, notebook lint, notebooks against their stored outputs, rendered documents"
	@echo "make lab       JupyterLab on the notebooks"
	@echo "make refresh   run the committed notebooks again and store their outputs"
	@echo "make venv      only make .venv (PYTHON=python3.12 takes another interpreter)"
	@echo "make clean     remove .venv, caches and build products; runs/ and data/raw/ stay"

venv: $(READY)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { echo \
	  "$(PYTHON) is missing or not Python 3.11, 3.12 or 3.13; name one that is, such as make PYTHON=python3.11." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo \
	  "$(PYTHON) has no venv module; on Debian and Ubuntu: apt install python3-venv, then make again." >&2; exit 1; }
	@echo "making .venv from requirements.lock: one to a few minutes, most of it for torch"
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

reproduce: $(READY)
	@$(BIN)/hfkd reproduce --profile $(PROFILE) $(if $(ONLY),--only $(ONLY)) $(if $(FRESH),--fresh)

# --nbval-current-env: a kernel of .venv, not whatever the user has installed under the name python3.
test: $(READY)
	$(BIN)/python -m pytest
	$(BIN)/python -m pytest --nbval-lax --nbval-current-env notebooks/
	$(BIN)/hfkd render --check

lab: $(READY)
	$(BIN)/jupyter lab notebooks/

refresh: $(READY)
	$(BIN)/hfkd refresh

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .hypothesis
	find hfkd tests notebooks -name __pycache__ -o -name .ipynb_checkpoints | xargs rm -rf
