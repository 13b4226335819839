#!/bin/sh
# Makes and prints the first key, so that the server may listen on all addresses; then becomes it.
set -eu
if [ "${1:-}" = key ]; then
	exec calotyped "$@"
fi
if [ -z "${CALOTYPE_API_KEY:-}${CALOTYPE_API_KEY_FILE:-}" ]; then
	key=$(calotyped key add --if-none --scope read,write,admin --name first)
	if [ -n "$key" ]; then
		echo "The first API key, with all scopes. It is shown this once:" >&2
		echo "    $key" >&2
	fi
fi
exec calotyped "$@"
