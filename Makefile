# make run     build and start the server with its defaults
# make test    install what the tests need, then format, lint and every test
# make bench   compare with other servers, in about ten minutes; bench-quick in about one
# make help    this list

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

SERVER := $(CURDIR)/target/debug/orgcast

.PHONY: help run build test tools lint test-rust fuzz test-clients test-web bench-tools bench bench-quick clean

help:
	@sed -n 's/^# make/make/p' $(MAKEFILE_LIST)

run:
	cargo build --release --locked --bin orgcast
	exec target/release/orgcast serve $(ARGS)

build:
	cargo build --locked --bin orgcast

test: tools lint test-rust fuzz test-web test-clients

tools:
	scripts/install-test-tools

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features --locked -- -D warnings

test-rust: build
	ulimit -n "$$(ulimit -Hn)"; ORGCAST_BIN=$(SERVER) cargo test --workspace --locked

test-clients: build
	cd tests/clients && npm ci --no-audit --no-fund && ORGCAST_BIN=$(SERVER) npm test

# Each fuzz target for a few seconds.
fuzz:
	scripts/fuzz 10

test-web: build
	cd web-client && npm ci --no-audit --no-fund && ORGCAST_BIN=$(SERVER) npm run check

LOAD := target/release/orgcast-load compare --server target/release/orgcast

bench-tools:
	cargo build --release --locked --bin orgcast
	cargo build --release --locked --package orgcast-load
	cd load-tests/peers && npm ci --no-audit --no-fund

bench: bench-tools
	ulimit -n "$$(ulimit -Hn)"; $(LOAD) --json bench.json --svg bench.svg

bench-quick: bench-tools
	ulimit -n "$$(ulimit -Hn)"; $(LOAD) --quick --json bench.json --svg bench.svg

clean:
	cargo clean
	rm -rf tests/clients/node_modules tests/clients/artifacts web-client/node_modules
