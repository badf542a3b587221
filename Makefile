# run    build and start the cluster of config/cluster.yaml; Ctrl-C stops it
# test   everything that must hold before a change lands
# check  formatting, lints and generated text; writes nothing but build output
# fix    mends what `check` finds, where a tool can
# bench  compares with redis-server and twemproxy; BENCH="--quick" and the like are passed on
# clean  removes build output (not the data directory)

TARGET := $(or $(CARGO_TARGET_DIR),target)
BENCH ?=
NEXTEST := $(shell command -v cargo-nextest 2>/dev/null)

.PHONY: run test check fix bench setup clean

run:
	cargo build --locked --release -p slotway-config -p slotway-shard -p slotway-proxy
	$(TARGET)/release/slotway up config/cluster.yaml

test: setup check
	cargo build --locked --workspace --bins
ifdef NEXTEST
	SLOTWAY_BINARIES=$(abspath $(TARGET))/debug cargo nextest run --locked --workspace --no-fail-fast
	cargo test --locked --workspace --doc
else
	SLOTWAY_BINARIES=$(abspath $(TARGET))/debug cargo test --locked --workspace --no-fail-fast
endif

check:
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo test --locked --quiet -p slotway-tests --test readme

fix:
	cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	cargo fmt --all
	SLOTWAY_FIX=1 cargo test --quiet -p slotway-tests --test readme

bench:
	tests/setup.sh bench
	cargo build --locked --release -p slotway-config -p slotway-shard -p slotway-proxy
	cargo build --locked --quiet -p slotway-tests --bin bench
	ulimit -n $$(ulimit -Hn) && SLOTWAY_BINARIES=$(abspath $(TARGET))/release \
	    $(TARGET)/debug/bench --json $(TARGET)/bench.json $(BENCH)

setup:
	tests/setup.sh test $(TARGET)

clean:
	cargo clean
