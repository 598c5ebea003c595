#!/usr/bin/env bash
# Fuzzes every target of the module, one after the other, each for $1 (30s).
# What a target finds is written to its package's testdata/fuzz: commit it with
# the fix.
set -euo pipefail
time=${1:-30s}
failed=()
while read -r package target; do
	echo "== $package $target"
	# Making an input smaller, which is not counted, would else eat the time.
	go test "$package" -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 100x ||
		failed+=("$package $target")
done < <(grep -rE --include='*_test.go' -H '^func Fuzz[A-Za-z0-9]*\(' . |
	sed -E 's|^(\./.*)/[^/]+_test\.go:func (Fuzz[A-Za-z0-9]*)\(.*|\1 \2|' | sort)
if ((${#failed[@]})); then
	printf 'failed: %s\n' "${failed[@]}"
	exit 1
fi
