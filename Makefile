# Two commands set everything up: `make demo` and `make test`. `make help` lists the rest.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# The steps follow one another, and SwiftPM uses every core by itself.
.NOTPARALLEL:

# Passed on to the program or to the tests: make demo ARGS="--rounds 5", make test ARGS="--filter Shamir"
ARGS ?=
# INSTALL=no says which system packages are missing instead of installing them.
INSTALL ?= yes
export INSTALL

sources := Package.swift Sources Tests Benchmarks/Package.swift Benchmarks/Sources
wire := Sources/FederationWire

define help_text
Bauta: federated learning with a secure sum and an egress record.

  make demo     build, then train one model across five organisations on this machine
  make test     build, check the sources and run all tests
  make build    the optimised program: .build/release/bauta
  make leaks    look for lost memory in the TLS layer, under valgrind
  make outage   cut the network for six minutes in every stage of a sum: half an hour
  make peers    compare the privacy accountants with dp_accounting on random cases: ARGS="--random --count 50"
  make bench    measure against this machine's AES-256-CTR: ARGS="masking --quick", ARGS="all --markdown", ARGS="--help"
  make format   format the sources
  make lint     check format and structure only (part of make test)
  make proto    regenerate the messages in $(wire)/Generated from bauta.proto
  make clean    remove the build folder

Options: ARGS="…" goes to the demonstration or to swift test (make demo ARGS="--rounds 5");
INSTALL=no lists missing system packages instead of installing them through apt.
The first build fetches and compiles the dependencies: several minutes.
endef
export help_text

define announce
@[[ -e .build/$(1)/bauta ]] || echo "First $(1) build: fetches and compiles the dependencies; $(2) on two cores."
endef

.PHONY: help demo test leaks outage peers build bench format lint proto clean machine

help:
	@printf '%s\n' "$$help_text"

machine:
	@.ci/check-machine

demo: machine
	$(call announce,debug,two to five minutes)
	@swift build --product bauta
	@.build/debug/bauta demo $(ARGS)

# One debug build serves both: after `make demo` only the tests are left to compile.
test: machine lint
	@.ci/check-machine --with-python
	$(call announce,debug,two to six minutes)
	@swift build --build-tests
	@.ci/check-binary .build/debug/bauta
	@.ci/run-tests $(ARGS)

# Heavy tools, or long: not part of `make test`, which tests the same with lighter means.
leaks: machine
	@.ci/check-machine --with-valgrind
	@swift build --build-tests
	@.ci/check-leaks

outage: machine
	@swift build --build-tests
	@BAUTA_OUTAGE_SECONDS=360 swift test --skip-build --disable-xctest --filter OutageTests

# Fetches Python packages from PyPI, so not part of `make test`. Its first three seeds are the same each time.
peers: machine
	@.ci/check-machine --with-venv
	@[[ -e .build/peers/bin/pip ]] || python3 -m venv .build/peers
	@.build/peers/bin/pip install --quiet --disable-pip-version-check dp-accounting==0.6.0
	@.build/peers/bin/python Tests/IndependentCheck/compare_accounting.py $(if $(ARGS),$(ARGS),--random) .build/peers/cases.json
	@swift build --build-tests
	@BAUTA_PEER_CASES=.build/peers/cases.json swift test --skip-build --disable-xctest --filter PeerComparison

build: machine
	$(call announce,release,about ten minutes)
	@swift build --configuration release --product bauta
	@echo "Built .build/release/bauta"

# Masking is measured without the rounds around it, so the benchmarks see the internals: hence -enable-testing.
bench: machine
	@[[ -e Benchmarks/.build/release/bauta-benchmarks ]] || echo "First build of the benchmarks: about five minutes on two cores."
	@swift build --package-path Benchmarks --configuration release -Xswiftc -enable-testing --product bauta-benchmarks
	@Benchmarks/.build/release/bauta-benchmarks $(ARGS)

format: machine
	@swift format --in-place --parallel --recursive --configuration .swift-format $(wildcard $(sources))

lint: machine
	@swift format lint --strict --parallel --recursive --configuration .swift-format $(wildcard $(sources))
	@.ci/check-sources
	@.ci/check-claims
	@.ci/check-noise-sil
	@.ci/check-checks

# Only needed when bauta.proto changes; what it writes is committed.
proto:
	@.ci/check-machine --with-protoc
	@swift build --product protoc-gen-swift
	@mkdir -p $(wire)/Generated
	@protoc --plugin=.build/debug/protoc-gen-swift --proto_path=$(wire) \
	  --swift_opt=Visibility=Internal --swift_out=$(wire)/Generated $(wire)/bauta.proto
	@echo "Wrote $(wire)/Generated/bauta.pb.swift"

clean:
	@rm -rf .build Benchmarks/.build
