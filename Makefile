# make run     build and start the server with its defaults, and with its page where npm is there
# make test    install what the tests need, then format, lint and every test
# make bench   compare with other servers, in ten to twelve minutes; bench-quick in one to two
# make figures write what make bench found into README.md and docs/performance.md
# make help    this list

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

SERVER := $(CURDIR)/target/debug/orgcast
ECHO := $(CURDIR)/target/debug/examples/orgcast-echo

# What npm installed, by the file that it writes last; and when the page was last built.
MODULES := web-client/node_modules/.package-lock.json
PAGE := web-client/dashboard/dist/.built
PAGE_SOURCES := $(shell find web-client/client/src $(addprefix web-client/dashboard/,src index.html vite.config.ts) -type f)

.PHONY: help run page build test tools lint test-rust fuzz test-conformance test-web bench-tools bench bench-quick figures clean

help:
	@sed -n 's/^# make/make/p' $(MAKEFILE_LIST)

# The page is a part of the binary, so it comes first; the server is whole without it.
run:
	@if ! command -v npm >/dev/null; then \
	    echo 'make run: npm is not there, so the page is not built; install Node 20 for it'; \
	elif ! $(MAKE) --no-print-directory page; then \
	    echo 'make run: the page could not be built, see above; the server starts without a new one'; \
	fi
	cargo build --release --locked --bin orgcast
	exec target/release/orgcast serve $(ARGS)

page: $(PAGE)
	@:

$(PAGE): $(MODULES) $(PAGE_SOURCES)
	cd web-client && npm run build:dashboard
	touch $@

$(MODULES): web-client/package-lock.json $(wildcard web-client/package.json web-client/*/package.json)
	cd web-client && npm ci --no-audit --no-fund
	touch $@

build: page
	cargo build --locked --bin orgcast

test: tools page lint test-rust fuzz test-web test-conformance

tools:
	scripts/install-test-tools

lint:
	cargo fmt --all --check
	cargo metadata --locked --format-version 1 --manifest-path fuzz/Cargo.toml >/dev/null
	cargo clippy --workspace --all-targets --all-features --locked -- -D warnings

test-rust: build
	ulimit -n "$$(ulimit -Hn)"; ORGCAST_BIN=$(SERVER) cargo test --workspace --locked

test-conformance: build
	cargo build --locked --example orgcast-echo
	cd tests/conformance && npm ci --no-audit --no-fund && ORGCAST_BIN=$(SERVER) ORGCAST_ECHO_BIN=$(ECHO) npm test

# Each fuzz target for a few seconds.
fuzz:
	scripts/fuzz 10

test-web: build
	cd web-client && ORGCAST_BIN=$(SERVER) npm run check

# EARLIER names another build of the server, which is compared, too.
EARLIER ?=
LOAD := target/release/orgcast-load compare --server target/release/orgcast $(if $(EARLIER),--earlier $(EARLIER))

bench-tools:
	cargo build --release --locked --bin orgcast
	cargo build --release --locked --package orgcast-load
	cd load-tests/peers && npm ci --no-audit --no-fund
	scripts/unpack-nchan

bench: bench-tools
	ulimit -n "$$(ulimit -Hn)"; $(LOAD) --json bench.json --svg bench.svg

bench-quick: bench-tools
	ulimit -n "$$(ulimit -Hn)"; $(LOAD) --quick --json bench.json --svg bench.svg

figures:
	cargo build --release --locked --package orgcast-load
	target/release/orgcast-load figures --from bench.json --svg docs/figures.svg README.md docs/performance.md

clean:
	cargo clean
	rm -rf load-tests/peers/node_modules load-tests/peers/nchan
	rm -rf tests/conformance/node_modules tests/conformance/artifacts tests/conformance/.venv
	rm -rf web-client/node_modules web-client/*/node_modules web-client/testkit/react18/node_modules
	rm -rf web-client/*/dist web-client/artifacts
