# `make` alone prints the targets. Without make: each target is one `python -m …` line below.
# A CPU-only PyTorch on Linux: make test TORCH_INDEX=https://download.pytorch.org/whl/cpu
PYTHON      ?= python3
TORCH_INDEX ?=
CHAPTER     ?=
FULL        ?=

VENV    := .venv
BIN     := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
RUN     := $(BIN)/python
PIP     := $(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
PYTEST  := $(if $(CHAPTER),CHAPTER=$(CHAPTER)) $(if $(FULL),FULL=1) $(RUN) -m pytest
TESTS   := $(if $(CHAPTER),src/llm_tutorial/$(CHAPTER) tests/$(CHAPTER) tests/test_exercises.py tests/test_snippets.py,src tests)

.DEFAULT_GOAL := help
.PHONY: help serve build archive test record retrain lint check clean

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*##/  make \1 \t/p' $(MAKEFILE_LIST) | expand -t 18

serve: $(VENV)/site  ## read both languages on one local address; an edit shows up by itself
	$(RUN) -m tutorial_site serve

build: $(VENV)/site  ## both languages, strictly, into site/
	$(RUN) -m tutorial_site build

archive: $(VENV)/site  ## both languages for reading from a folder, into build/archive/
	$(RUN) -m tutorial_site build --offline

test: $(VENV)/all  ## what changed since it passed; FULL=1 for everything; CHAPTER=lora for one chapter
	$(RUN) -m llm_tutorial fetch
	$(PYTEST) --numprocesses 2 --dist worksteal -m "not alone" --doctest-modules $(TESTS)
	$(PYTEST) -m alone tests/test_snippets.py

record: $(VENV)/all  ## run the snippets that changed and write down what they print
	$(RUN) -m llm_tutorial fetch
	$(RUN) -m tutorial_site record

retrain: $(VENV)/all  ## train the committed weights again and compare (hours)
	$(RUN) -m tutorial_site retrain

lint: $(VENV)/all  ## style and types
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m mypy

check: lint  ## fast: lint, types, parity, fresh recordings, numbers, strict build and links
	$(RUN) -m tutorial_site check

clean:  ## everything that was made, the environment included
	rm -rf $(VENV) site build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

# An environment is made again when the versions or the extras change.
$(RUN):
	$(PYTHON) -m venv $(VENV)

$(VENV)/site: pyproject.toml constraints.txt | $(RUN)
	$(PIP) -e ".[site]"
	@touch $@

$(VENV)/all: pyproject.toml constraints.txt | $(RUN)
	$(PIP) -e ".[site,snippets,test,dev]"
	@touch $@ $(VENV)/site
