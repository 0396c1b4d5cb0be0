# Everything runs in .venv, which `make` makes from requirements.lock. `make help` names the targets.
PYTHON ?= python3
PROFILE ?= committed
ONLY ?=
BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help venv reproduce test lab refresh clean

help:
	@echo "make reproduce                      every figure, table and verdict from the committed rows: 2.5 minutes"
	@echo "make reproduce PROFILE=smoke        run every experiment on embedded digits: up to 6 minutes on 2 cores"
	@echo "make reproduce PROFILE=lite ONLY=40 the comparison at the size the claims rest on"
	@echo "make reproduce PROFILE=paper        full size, on a GPU"
	@echo "make test                           unit tests, then the notebooks against their stored outputs"
	@echo "make lab                            JupyterLab on the notebooks"
	@echo "make refresh                        run the committed notebooks again and store their outputs"
	@echo "make venv                           only make .venv (PYTHON=python3.12 takes another interpreter)"
	@echo "make clean                          remove .venv and caches; runs/ and data/raw/ stay"

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
	@$(BIN)/hfkd reproduce --profile $(PROFILE) $(if $(ONLY),--only $(ONLY))

# --nbval-current-env: a kernel of .venv, not whatever the user has installed under the name python3.
test: $(READY)
	$(BIN)/python -m pytest
	$(BIN)/python -m pytest --nbval --nbval-current-env notebooks/
	$(BIN)/hfkd render --check

lab: $(READY)
	$(BIN)/jupyter lab notebooks/

refresh: $(READY)
	$(BIN)/hfkd refresh

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .hypothesis
	find hfkd tests notebooks -name __pycache__ -o -name .ipynb_checkpoints | xargs rm -rf
