#!/bin/sh
# Measures builds and prints a table; docs/benchmarks.md explains the figures.
# Needs root and a quiet machine. Without OSBUILDKIT_BENCH_STORE the first
# build starts from nothing.
set -eu
cd "$(dirname "$0")/.."

go run ./test/bench -program bin/osbuildkit -store "${OSBUILDKIT_BENCH_STORE:-}" -rounds "${OSBUILDKIT_BENCH_ROUNDS:-5}"
echo
echo "assembly of a tree of 800 MiB in 20000 files:"
go test -run '^$' -bench 'BenchmarkQemu/qcow2-zstd' -benchtime 2x ./assemblers |
	awk '/^Benchmark/ { for (i = 3; i < NF; i += 2) if ($(i + 1) != "ns/op") printf "%-12s %s\n", $(i + 1), $i }'
