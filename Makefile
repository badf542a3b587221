# run    build and start the cluster of config/cluster.yaml; Ctrl-C stops it
# test   everything that must hold before a change lands
# test-fast  formatting, lints, unit tests and the proxy's core: what to run while writing
# memcheck  tests of the modules with unsafe code, every access to memory checked by valgrind
# check  formatting, lints and generated text; writes nothing but build output
# fix    mends what `check` finds, where a tool can
# bench  compares with redis-server and twemproxy; BENCH="--quick" and the like are passed on
# bench-reshard  measures moves of slots
# bench-durability  measures the log, restarts and compaction beside redis-server
# simulate  clusters under random faults, for long: DURATION seconds, seeds from FROM on (at random if not given), COUNT of
#           them at most
# clean  removes build output (not the data directory)

TARGET := $(or $(CARGO_TARGET_DIR),target)
BENCH ?=
DURATION ?= 600
FROM ?=
COUNT ?=
NEXTEST := $(shell command -v cargo-nextest 2>/dev/null)

.PHONY: run test test-fast memcheck check fix bench bench-reshard bench-durability simulate setup clean

run:
	cargo build --locked --release -p slotway-config -p slotway-shard -p slotway-proxy
	$(TARGET)/release/slotway up config/cluster.yaml

# Tests are built together with the programs: alone, the programs' dependencies have fewer features, and everything
# would be compiled twice.
test: setup check
	cargo build --locked --workspace --bins --tests
ifdef NEXTEST
	SLOTWAY_BINARIES=$(abspath $(TARGET))/debug cargo nextest run --locked --workspace --no-fail-fast
	cargo test --locked --workspace --doc
else
	SLOTWAY_BINARIES=$(abspath $(TARGET))/debug cargo test --locked --workspace --no-fail-fast
endif
	$(MAKE) memcheck

test-fast: check
ifdef NEXTEST
	cargo nextest run --locked --workspace --lib
else
	cargo test --locked --workspace --lib -- --test-threads 1
endif

# The system's allocator serves unit tests. Scripts are left out: valgrind cannot follow a change of stacks.
memcheck:
	tests/setup.sh memcheck
	PROPTEST_CASES=8 cargo test --locked --workspace --lib --config 'target."cfg(all())".runner = "valgrind --quiet --error-exitcode=99 --leak-check=no"' \
	    -- --test-threads 1 memory::blob engine::record types::table types::word

check:
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo test --locked --quiet --workspace --test readme

fix:
	cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	cargo fmt --all
	SLOTWAY_FIX=1 cargo test --quiet --workspace --test readme

bench: setup
	cargo build --locked --release -p slotway-config -p slotway-shard -p slotway-proxy
	cargo build --locked --quiet -p slotway-tests --bin bench
	ulimit -n $$(ulimit -Hn) && SLOTWAY_BINARIES=$(abspath $(TARGET))/release \
	    $(TARGET)/debug/bench --json $(TARGET)/bench.json $(BENCH)

bench-reshard:
	tests/setup.sh bench
	cargo build --locked --release -p slotway-config -p slotway-shard -p slotway-proxy
	cargo build --locked --quiet -p slotway-tests --bin bench_reshard
	SLOTWAY_BINARIES=$(abspath $(TARGET))/release \
	    $(TARGET)/debug/bench_reshard --json $(TARGET)/bench-reshard.json $(BENCH)

bench-durability:
	tests/setup.sh bench
	cargo build --locked --release -p slotway-config -p slotway-shard -p slotway-proxy
	cargo build --locked --quiet -p slotway-tests --bin bench_durability
	SLOTWAY_BINARIES=$(abspath $(TARGET))/release \
	    $(TARGET)/debug/bench_durability --json $(TARGET)/bench-durability.json $(BENCH)

# With the features that `test` builds it with.
simulate:
	cargo build --locked --workspace --bins
	$(TARGET)/debug/simulate --seconds $(DURATION) $(if $(FROM),--from $(FROM)) $(if $(COUNT),--count $(COUNT))

setup:
	tests/setup.sh test $(TARGET)

clean:
	cargo clean
