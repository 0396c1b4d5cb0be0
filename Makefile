# Everything runs in .venv, which `make` makes from requirements.lock. `make help` names the targets.
PYTHON = python3
PROFILE = committed
ONLY =
BIN := .venv/bin
READY := .venv/.ready

# What is set for other programs, by a user or a hook of git, decides nothing here, save from where pip fetches.
FETCHING := CONFIG_FILE INDEX_URL EXTRA_INDEX_URL NO_INDEX FIND_LINKS TRUSTED_HOST CERT CLIENT_CERT PROXY CACHE_DIR \
  TIMEOUT DEFAULT_TIMEOUT RETRIES
unexport $(filter-out $(FETCHING:%=PIP_%),$(filter PYTHON% PIP_% GIT_% PYTEST_% JUPYTER_PATH MPLBACKEND,$(.VARIABLES)))
export PIP_USER := 0
export PIP_REQUIRE_HASHES := 0
export IPYTHONDIR := $(CURDIR)/.venv/ipython
export MATPLOTLIBRC := /dev/null

.DEFAULT_GOAL := help
.PHONY: help venv reproduce test flower lab refresh clean

help:
	@echo "make reproduce                      every figure, table and verdict from the committed rows: 2.5 minutes"
	@echo "make reproduce PROFILE=smoke        run every experiment on embedded digits: up to 6 minutes on 2 cores"
	@echo "make reproduce PROFILE=lite ONLY=40 the comparison at the size the claims rest on"
	@echo "make reproduce PROFILE=paper        full size, on a GPU"
	@echo "make test                           unit tests, then the notebooks against their stored outputs"
	@echo "make flower                         Flower into .venv-flower, and the tests of a real federation with it"
	@echo "make lab                            JupyterLab on the notebooks"
	@echo "make refresh                        run the committed notebooks again and store their outputs"
	@echo "make venv                           only make .venv (PYTHON=python3.12 takes another interpreter)"
	@echo "make clean                          remove .venv and caches; runs/ and data/raw/ stay"

venv: $(READY)

# Made anew where its Python is gone, or finds the hfkd of another clone.
ifneq ($(shell $(BIN)/python -I -c 'from hfkd import paths; print(paths.ROOT)' 2>/dev/null),$(shell pwd -P))
.PHONY: $(READY)
endif

# .ready is old until all is there. hfkd is found beside .venv, wherever both are copied to.
$(READY): requirements.lock
	@test ! -e .venv || test -e $@ || { echo \
	  ".venv is there and make has not made it; move it away, then make again." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { echo \
	  "$(PYTHON) is missing or not Python 3.11, 3.12 or 3.13; name one that is, such as make PYTHON=python3.11." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo \
	  "$(PYTHON) has no venv module; on Debian and Ubuntu: apt install python3-venv, then make again." >&2; exit 1; }
	@echo "making .venv from requirements.lock: one to a few minutes, most of it for torch"
	@rm -rf .venv && mkdir .venv && touch -t 200001010000 $@
	@$(PYTHON) -I -m venv .venv
	@$(BIN)/python -I -m pip install -qq --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -I -c 'import sysconfig; open(sysconfig.get_path("purelib") + "/hfkd.pth", "w").write("../../../..\n")'
	@printf '%s\n' '#!/bin/sh' 'exec "$$(dirname "$$(readlink -f "$$0")")/python" -I -m hfkd.cli "$$@"' > $(BIN)/hfkd
	@chmod +x $(BIN)/hfkd
	@touch $@

reproduce: $(READY)
	@$(BIN)/hfkd reproduce --profile $(PROFILE) $(if $(ONLY),--only $(ONLY))

# --nbval-current-env: a kernel of .venv, not whatever the user has installed under the name python3.
test: $(READY)
	$(BIN)/python -m pytest
	$(BIN)/python -m pytest --nbval --nbval-current-env notebooks/
	$(BIN)/hfkd render --check

# An environment beside the other: Flower wants another packaging and another certifi than the committed rows were made with.
.venv-flower/.ready: requirements-flower.lock
	@echo "making .venv-flower from requirements-flower.lock: one to a few minutes"
	@rm -rf .venv-flower && mkdir .venv-flower && touch -t 200001010000 $@
	@$(PYTHON) -I -m venv .venv-flower
	@.venv-flower/bin/python -I -m pip install -qq --disable-pip-version-check -r requirements-flower.lock
	@.venv-flower/bin/python -I -c 'import sysconfig; open(sysconfig.get_path("purelib") + "/hfkd.pth", "w").write("../../../..\n")'
	@printf '%s\n' '#!/bin/sh' 'exec "$$(dirname "$$(readlink -f "$$0")")/python" -I -m hfkd.cli "$$@"' > .venv-flower/bin/hfkd
	@chmod +x .venv-flower/bin/hfkd
	@touch $@

flower: .venv-flower/.ready
	.venv-flower/bin/python -m pytest tests/test_deploy.py tests/test_peers.py

lab: $(READY)
	$(BIN)/python -m jupyterlab notebooks/

refresh: $(READY)
	$(BIN)/hfkd refresh

clean:
	rm -rf .venv .venv-flower .pytest_cache .hypothesis
	find hfkd tests notebooks -name __pycache__ -prune -exec rm -rf {} +
