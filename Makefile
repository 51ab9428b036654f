# Everything that is typed here, by people and by CI. `make help` lists it.

.DEFAULT_GOAL := help
SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory

# Runs a command with a Postgres of its own, named by ZEPHR_TEST_DATABASE_URL. `--durable` after it keeps fsync on.
WITH_POSTGRES := cargo run --quiet --locked --example with_postgres --

.PHONY: help
help: ## This list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'

.PHONY: demo
demo: ## Show everything on a simulated Zephr and a private Postgres; needs cargo and a Postgres server, no settings
	cargo run --locked -- demo

.PHONY: test
test: setup lint doc check-sql check-tests check-traces check-tree ## Everything that CI runs

.PHONY: setup
setup: ## Install what the tests need and is missing: Postgres server, PgBouncer, Chromium, cargo-nextest, cargo-deny, dbt
	@scripts/setup

# One cargo at a time: they would only wait for each other's lock.
.NOTPARALLEL:

.PHONY: lint
lint: ## Formatting, clippy with warnings as errors, and the files no compiler sees
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	scripts/lint-files

.PHONY: doc
doc: ## The code's documentation, warnings as errors
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps

.PHONY: sql
sql: ## Regenerate .sqlx after a change to a query or a migration
	scripts/prepare-sql

.PHONY: tables
tables: ## Rewrite docs/tables.md and the names in docs/attributes.md from the database
	$(WITH_POSTGRES) env ZEPHR_TEST_WRITE_DOCS=1 cargo nextest run --locked --test integration tables:: attributes::odd::

.PHONY: pictures
pictures: ## Take the pictures in docs/images anew, from the page as a test uses it
	$(WITH_POSTGRES) env ZEPHR_TEST_WRITE_PICTURES=1 cargo nextest run --locked --test integration web::browser::a_person

.PHONY: check-sql
check-sql: ## Check that the committed .sqlx is what `make sql` would write
	scripts/prepare-sql --check

.PHONY: check-tests
check-tests: ## The tests, on a Postgres that lives as long as they run
	cargo test --locked --doc --quiet
	$(WITH_POSTGRES) cargo nextest run --locked --profile ci

.PHONY: check-traces
check-traces: ## The feature `otlp`: what only it has, and its own tests; the rest is the same code as without it
	cargo clippy --locked --features otlp --lib --test traces -- -D warnings
	$(WITH_POSTGRES) cargo nextest run --locked --profile ci --features otlp --test traces

.PHONY: check-tree
check-tree: ## Licences, bans and sources of all dependencies
	cargo deny --locked --log-level error check licenses bans sources

.PHONY: audit
audit: ## Known advisories about dependencies; needs the network, and changes without us changing anything
	cargo deny --locked check advisories

.PHONY: bench
bench: ## The product beside the database alone, each figure with its target: SUBJECTS="users=5000 latency" SIZES=100000,1000000 AGAINST=FILE; docs/performance.md
	cargo bench --locked --bench suite -- $(SUBJECTS) $(if $(SIZES),--sizes $(SIZES)) $(if $(AGAINST),--against $(AGAINST))

.PHONY: scaling
scaling: ## Rewrite the tables of docs/scaling.md from a run of the suite: FROM=target/bench/DATE.json
	benches/scaling $(FROM)

.PHONY: compare
compare: ## The same users through dlt and a Singer target, installed from PyPI: SIZE=20000; benches/peers/README.md
	cargo build --release --locked
	$(WITH_POSTGRES) --durable benches/peers/compare $(if $(SIZE),--users $(SIZE))

.PHONY: soak
soak: ## The long tests, which `make test` leaves out
	$(WITH_POSTGRES) --durable cargo nextest run --locked --cargo-profile release --profile soak --run-ignored only

.PHONY: image-steps
image-steps: ## The steps of the Dockerfile without a container engine: context, release build, first checks; takes minutes
	scripts/image-steps
