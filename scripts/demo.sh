#!/usr/bin/env bash
# Starts bin/thermocline on a temporary data directory and a free port, deploys
# the functions under examples/, invokes each twice, shows the answers, the log
# lines and explain, stops it, and checks that nothing is left. Ctrl-C cleans
# up as well.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=${THERMOCLINE:-$PWD/bin/thermocline}
name=demo-$$ # the node's name: part of every cgroup and mount of this server
tmp=$(mktemp -d)
server=

bold='' dim='' plain=''
if [ -t 1 ]; then
	bold=$'\033[1m' dim=$'\033[2m' plain=$'\033[0m'
fi

say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }

# run COMMAND...: shows a command and runs it.
run() {
	local shown='' word
	for word in "$@"; do
		case $word in
		*[!a-zA-Z0-9_./:=-]*) shown+=" '$word'" ;;
		*) shown+=" $word" ;;
		esac
	done
	printf '%s$ thermocline%s%s\n' "$dim" "$shown" "$plain"
	"$bin" --data "$tmp/data" "$@"
}

# leftovers lists what a server of this name has on the machine.
leftovers() {
	grep "/run/thermocline/$name-" /proc/self/mountinfo || true
	find /sys/fs/cgroup -type d -path "*thermocline-$name-*" 2>/dev/null || true
	find /run/thermocline -mindepth 1 -maxdepth 1 -name "$name-*" 2>/dev/null || true
	pgrep -af -- "$tmp/data" || true
	losetup -a 2>/dev/null | grep -F "$tmp" || true
}

stop() {
	if [ -n "$server" ]; then
		kill -TERM "$server" 2>/dev/null || true
		wait "$server" || return 1
		server=
	fi
}

cleanup() {
	local code=$?
	trap - EXIT INT TERM
	stop || true
	if [ $code -ne 0 ] && [ -s "$tmp/server.log" ]; then
		say "The demo failed. The end of the server's log:" >&2
		tail -n 30 "$tmp/server.log" >&2
	fi
	rm -rf --one-file-system "$tmp"
	exit $code
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [ "$(id -u)" -ne 0 ]; then
	echo "the demo needs root: sandboxes are made of namespaces, mounts and cgroups" >&2
	exit 1
fi

say "Starting a server on $tmp/data"
"$bin" serve --data "$tmp/data" --listen 127.0.0.1:0 --node "$name" >"$tmp/ready" 2>"$tmp/server.log" &
server=$!
for _ in $(seq 300); do
	if [ -s "$tmp/ready" ]; then
		break
	fi
	if ! kill -0 "$server" 2>/dev/null; then
		break
	fi
	sleep 0.1
done
if ! [ -s "$tmp/ready" ]; then
	echo "the server did not become ready" >&2
	exit 1
fi
cat "$tmp/ready"

# ready LANGUAGE: the first runtime of a language that can run here.
ready() {
	"$bin" --data "$tmp/data" runtime list | awk -v language="$1" '$1 ~ "^" language && $2 == "ready" { print $1; exit }'
}
node=$(ready nodejs)
python=$(ready python)
if [ -z "$node" ] || [ -z "$python" ]; then
	"$bin" --data "$tmp/data" runtime list >&2
	echo "a Node.js and a Python that sandboxes can see are needed: make deps" >&2
	exit 1
fi

say "Deploying examples/nodejs, examples/python and examples/go"
run deploy hello-node examples/nodejs --runtime "$node" --handler index.handler
run deploy hello-python examples/python --runtime "$python" --handler app.handler
(cd examples/go && CGO_ENABLED=0 go build -tags lambda.norpc -o "$tmp/bootstrap" .)
run deploy hello-go "$tmp/bootstrap" --runtime provided.al2023

functions=(hello-node hello-python hello-go)
say "Invoking each twice: a cold start, then a warm one"
for f in "${functions[@]}"; do
	for who in Ada Grace; do
		run invoke "$f" --payload "{\"name\":\"$who\"}"
	done
done

say "What they wrote"
for f in "${functions[@]}"; do
	run logs "$f"
done

say "Where the requests of one go, and why"
run explain hello-node
run fleets

say "Stopping"
stop
left=$(leftovers)
if [ -n "$left" ]; then
	echo "this is left:" >&2
	echo "$left" >&2
	exit 1
fi
echo "nothing is left: no process, no mount, no cgroup"
