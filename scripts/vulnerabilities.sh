#!/usr/bin/env bash
# Runs govulncheck. Where its database cannot be reached it says so and
# passes; a vulnerability that it finds fails.
set -euo pipefail

out=$(mktemp)
trap 'rm -f "$out"' EXIT
if go run "$1" ./... >"$out" 2>&1; then
	cat "$out"
	exit 0
fi
cat "$out"
if grep -qE 'vuln\.go\.dev|no such host|connection refused|dial tcp|i/o timeout|Forbidden' "$out" && ! grep -q '^Vulnerability #' "$out"; then
	echo "govulncheck: its data cannot be had here, nothing was checked"
	exit 0
fi
exit 1
