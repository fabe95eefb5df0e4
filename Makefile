# `make demo` and `make test` set everything up first; both are quick when nothing has changed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
LIGHT := $(VENV)/light
TEST = PATH="$(CURDIR)/$(BIN):$$PATH" OPTFL_LIGHT_PYTHON="$(CURDIR)/$(LIGHT)/bin/python" $(BIN)/python -m pytest
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: help setup demo test lint format proto clean

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

setup: $(READY) ## .venv with everything, and a CometBFT in it

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than Python 3.11; call make with PYTHON=python3.11 or newer" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[learning,bench,dev]'
	$(BIN)/optfl cometbft install
	$(BIN)/python -c 'from offchain.kernels.aggregate import warm_up; warm_up()'  # compiles, so that no first call does
	@touch $@

# Nodes and roles without torch, on the newest protobuf: what an operator of a node installs.
$(LIGHT)/ready: $(READY)
	$(PYTHON) -m venv $(LIGHT)
	grep -v '^protobuf==' constraints.txt > $(LIGHT)/constraints.txt
	$(LIGHT)/bin/python -m pip install --quiet -c $(LIGHT)/constraints.txt -e . protobuf
	@touch $@

demo: $(READY) ## a federation on loopback: train, convict a fraud, roll back
	$(BIN)/optfl demo

test: lint $(LIGHT)/ready ## lint, types, layering, and all tests
	$(TEST) -m "not localnet" -n 2 --dist loadfile
	$(TEST) -m localnet

lint: $(READY) ## style, types, import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## rewrite the code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

proto: $(READY) ## regenerate the code of proto/
	$(BIN)/python -m grpc_tools.protoc -I proto --python_out=. --pyi_out=. $$(cd proto && find . -name '*.proto' | sed 's|^\./||' | sort)

clean: ## remove .venv and caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
