#!/usr/bin/env bash
# Runs every fuzz target of the module for the given time each (default 20s).
# go test fuzzes one target of one package at a time, hence the loop. All
# targets run even when one fails; the exit status tells whether any did.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fuzztime=${1:-20s}
targets=$(grep -rnoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sort || true)
if [ -z "$targets" ]; then
	echo "no fuzz target found in any *_test.go" >&2
	exit 1
fi

failed=()
while IFS=: read -r file _ decl; do
	name=${decl#func }
	dir=$(dirname "$file")
	printf '\n=== %s %s (%s)\n' "$dir" "$name" "$fuzztime"
	# Left to itself go spends up to a minute making one interesting input smaller.
	go test -run '^$' -fuzz "^$name\$" -fuzztime "$fuzztime" -fuzzminimizetime 20x "$dir" </dev/null || failed+=("$dir $name")
done <<<"$targets"

if [ ${#failed[@]} -gt 0 ]; then
	printf '\nfailed:\n' >&2
	printf '  %s\n' "${failed[@]}" >&2
	exit 1
fi
