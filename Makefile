# Every target says what it does in the comment behind it; `make help` prints them.
# A target fails when what it checks does not hold, and its last line is the result.

HTTPS_PORT     ?= 8443
HTTP_PORT      ?= 8080
API_PORT       ?= 8000
ADMIN_PORT     ?= 9901
API_ADMIN_PORT ?= 9902
VAR            ?= var
# What the black-box suite runs: part of a test's name, empty for all.
ONLY           ?=

export HTTPS_PORT HTTP_PORT API_PORT ADMIN_PORT API_ADMIN_PORT VAR

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.PHONY: help run demo build test test-long tools check-format check-scripts check-lints check-licences test-unit test-blackbox test-stack test-docs generate

help: ## List the targets
	@deploy/bin/help Makefile

run: ## Start the whole service with embedded defaults; moves with HTTPS_PORT HTTP_PORT API_PORT ADMIN_PORT API_ADMIN_PORT VAR
	@deploy/bin/run

demo: build ## Play a user's first five minutes through the gateway and show each request and answer
	@target/debug/demo

build: ## Build both tiers, development profile
	@deploy/bin/require cargo cc cmake
	@cargo build --workspace

test: ## Everything CI runs: format, lints, unit and property tests, black-box suite on both databases, licences
	@deploy/bin/test

test-long: test ## The same and the long forms of what is shortened there
	@PROPTEST_CASES=20000 $(MAKE) test-unit
	@echo "test-long: passed"

tools: ## Install what the tests need (Debian packages, cargo-deny)
	@deploy/bin/install-tools

check-format: ## Is the code formatted?
	@cargo fmt --all --check && echo "check-format: passed"

check-scripts: ## Are the shell scripts sound? (shellcheck)
	@deploy/bin/check-scripts

check-lints: ## Clippy, warnings are errors
	@cargo clippy --workspace --all-targets --quiet -- -D warnings && echo "check-lints: passed"

check-licences: ## Licences, bans and sources of all dependencies
	@deploy/bin/check-licences

test-unit: build ## Unit and property tests, the proxy in front of a misbehaving origin, the store on both databases
	@target/debug/with-postgres cargo test --workspace --lib --bins --test proxy --quiet && echo "test-unit: passed"

test-blackbox: build ## Both tiers from outside, on SQLite and PostgreSQL; ONLY=name runs a part
	@cargo test --workspace --test blackbox -- $(ONLY)

test-stack: build ## Production's parts as processes on this machine, by deploy/bin/stack
	@cargo test --workspace --test drills --quiet -- service:: && echo "test-stack: passed"

test-docs: build ## Links, names and commands of the documents, on the running service; DOCUMENT=docs/OPERATIONS.md runs those of one
	@cargo test --workspace --test drills --quiet -- documents:: && echo "test-docs: passed"

generate: build ## Write the generated files again (.env examples)
	@target/debug/generate
