# `make run` and `make test` set up all that they need; the second time they start at once.

TICKET ?= WO-231
VENV   := .venv
BIN    := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# what is done here never depends on a database that the environment happens to name (DESIGN 10.4)
unexport SUPABASE_URL SUPABASE_SERVICE_ROLE_KEY DATABASE_URL

# a shim on PATH may name a Python that is not there, so each candidate is run
FIND_PYTHON = for name in $(PYTHON) python3.13 python3.12 python3.11 python3 python; do \
	$$name -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
	&& { command -v $$name; exit 0; }; done; \
	echo "Python 3.11 or newer with venv and pip is needed (make PYTHON=/path/to/python …)" >&2; exit 1
NODE_WORKS = node -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)' \
	>/dev/null 2>&1 && npm --version >/dev/null 2>&1

AGENTS_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/orchestrate/agents
AGENT_PACKAGES := @anthropic-ai/claude-code @openai/codex @google/gemini-cli opencode-ai \
	@zed-industries/claude-code-acp @zed-industries/codex-acp

.PHONY: run test lowest agents check shape bench recall crashes edits hostile docs clean help
.DEFAULT_GOAL := help

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# what proves a work order may be its tests
WITH_TESTS := $(if $(filter-out WO-231,$(TICKET)),$(VENV)/.dev)

run: $(VENV)/.run $(WITH_TESTS) node_modules/.done  ## install, then conduct WO-231 (or TICKET=…) to its next stop
	@$(BIN)/orchestrate run $(TICKET); code=$$?; \
	if [ $$code -eq 10 ]; then \
		echo; echo "make: waiting for your answer (exit code 10 is expected); orchestrate is $(BIN)/orchestrate"; \
	else exit $$code; fi

# many tests wait, for a server or a process: half as many again as there are cores keep them busy
export PYTEST_XDIST_AUTO_NUM_WORKERS ?= $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN) * 3 / 2 )))

test: $(VENV)/.dev node_modules/.done  ## install, then run all tests (ARGS='-k board' for some)
	@$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

lowest: $(VENV)/.made  ## run the unit tests with the oldest versions that are allowed (ARGS='-k board' for some)
	@[ -d $(VENV)/lowest ] || $(BIN)/python -m venv $(VENV)/lowest
	@$(VENV)/lowest/bin/python -m pip install --quiet --constraint constraints/lowest.txt --editable '.[dev]'
	@$(VENV)/lowest/bin/python -m pytest -n auto --dist loadfile tests/unit $(ARGS)

# each by itself: what cannot be installed is skipped by its tests, with that reason
agents: $(VENV)/.dev node_modules/.done  ## let the real coding agents work for a scripted model (1.5 GB from npm, once)
	@mkdir -p $(AGENTS_CACHE)
	@for package in $(AGENT_PACKAGES); do \
		[ -d $(AGENTS_CACHE)/node_modules/$$package ] || { echo "make: installing $$package …"; \
		npm install --prefix $(AGENTS_CACHE) --silent --no-audit --no-fund $$package; } \
		|| echo "make: $$package cannot be installed; its tests are skipped"; done
	@ORCHESTRATE_TEST_CLIS=$(AGENTS_CACHE) $(BIN)/python tests/acceptance/agents/own_network.py \
		$(BIN)/python -m pytest tests/acceptance/agents -rs $(ARGS)

check: $(VENV)/.dev  ## lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@mkdir -p $(VENV)/names && ln -sfn ../../agents $(VENV)/names/orchestrate_agents \
		&& ln -sfn ../../backend $(VENV)/names/orchestrate_backend
	$(BIN)/mypy

shape: $(VENV)/.run  ## lines, names, long files, import cycles and layers of the source
	@$(BIN)/python benchmarks/shape.py $(ARGS)

bench: $(VENV)/.dev node_modules/.done  ## print the speed figures as JSON lines, and what got slower (KEEP=1 keeps them)
	@for file in $(filter-out %/agents_truth.py %/gate_recall.py %/outsiders.py %/crashes.py %/edits.py %/hostile.py %/kills.py %/plan_lines.py %/shape.py %/synthetic_effects.py %/worker_kills.py %/web_hostile.py,$(wildcard benchmarks/[a-z]*.py)); do \
		$(BIN)/python $$file || exit 1; done

recall: $(VENV)/.dev node_modules/.done  ## judge other teams' lines, and break the good artifacts (two hours)
	@$(BIN)/python benchmarks/outsiders.py
	@ORCHESTRATE_MEANINGS_EVERY=7 $(BIN)/python -m pytest -q tests/unit/test_meaning.py
	@$(BIN)/python benchmarks/gate_recall.py --verbose $(ARGS)

crashes: $(VENV)/.dev  ## kill the conductor before every disk operation and command of git (hours)
	@for story in tickets no-ff ff squash beside; do \
	  $(BIN)/python benchmarks/crashes.py --story $$story $(ARGS) || exit 1; \
	done
	@for story in database commits; do \
	  $(BIN)/python benchmarks/kills.py --story $$story || exit 1; \
	done
	@$(BIN)/python benchmarks/worker_kills.py

edits: $(VENV)/.dev  ## ten thousand edits against the daemon
	@$(BIN)/python benchmarks/edits.py $(ARGS)

hostile: $(VENV)/.dev  ## let agents, scripts, files and requests misbehave (half an hour)
	@$(BIN)/python benchmarks/hostile.py $(ARGS)
	@$(BIN)/python benchmarks/web_hostile.py

docs: $(VENV)/.run  ## write the generated parts of the documents anew
	$(BIN)/python docs/generate.py

clean:  ## remove what was installed and cached; tickets, receipts and the database stay
	rm -rf $(VENV) node_modules build dist *.egg-info .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

$(VENV)/.made:
	@python=$$($(FIND_PYTHON)) && echo "make: Python is $$python" && "$$python" -m venv $(VENV)
	@touch $@

$(VENV)/.run: $(VENV)/.made pyproject.toml setup.py constraints/locked.txt
	@echo "make: installing the Python packages …"
	@$(BIN)/python -m pip install --quiet --constraint constraints/locked.txt --editable '.[web]' \
		|| { echo "make: not all of constraints/locked.txt is there for this Python; taking the ranges"; \
		$(BIN)/python -m pip install --quiet --editable '.[web]'; }
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@echo "make: installing the developers' tools …"
	@$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

# a machine without Node.js gets it as a Python package
node_modules/.done: $(VENV)/.run package.json package-lock.json
	@$(NODE_WORKS) || { echo "make: installing Node.js …"; \
		$(BIN)/python -m pip install --quiet --editable '.[node]'; }
	@echo "make: installing the TypeScript packages …"
	@npm ci --silent --no-audit --no-fund
	@touch $@
