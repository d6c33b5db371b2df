#!/bin/sh
# Runs every fuzz target of the repository for a time each, one after another:
# go test takes one target at a time. All are run, whatever one finds.
set -u
time=${1:-20s}
go=${GO:-go}
failed=
for file in $(grep -rlE '^func Fuzz[A-Za-z0-9_]*\(' --include='*_test.go' . | sort); do
	for target in $(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' "$file"); do
		echo "== $(dirname "$file") $target"
		"$go" test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 1s "$(dirname "$file")" || failed="$failed $(dirname "$file").$target"
	done
done
if [ -n "$failed" ]; then
	echo "found by:$failed" >&2
	exit 1
fi
