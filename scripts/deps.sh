#!/usr/bin/env bash
# Installs from Debian's packages what Thermocline needs at run time and this
# machine lacks: an OCI runtime, interpreters under /usr (where a sandbox sees
# them) and mkfs.ext4 for the sandboxes' /tmp. Changes nothing else.
set -euo pipefail

packages=()

# need PACKAGE COMMAND...: PACKAGE is missing unless one COMMAND is executable.
need() {
	local package=$1 command
	shift
	for command in "$@"; do
		if command -v "$command" >/dev/null 2>&1; then
			return
		fi
	done
	packages+=("$package")
}

PATH=$PATH:/usr/sbin:/sbin
need runc runc
need python3 /usr/bin/python3 /usr/local/bin/python3
need nodejs /usr/bin/node /usr/bin/nodejs /usr/local/bin/node
need e2fsprogs mkfs.ext4
need git git

if [ ${#packages[@]} -eq 0 ]; then
	exit 0
fi
echo "missing: ${packages[*]}"
if [ "$(id -u)" -ne 0 ]; then
	echo "run as root: apt-get install ${packages[*]}" >&2
	exit 1
fi
if ! command -v apt-get >/dev/null 2>&1; then
	echo "there is no apt-get here: install these with your package manager" >&2
	exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -q update
apt-get -q install -y --no-install-recommends "${packages[@]}"
