#!/bin/sh
# Makes and prints the first key, so that the server may listen on all addresses; then becomes it.
set -eu
case ${1:-} in
key | fsck | reindex | -h | --help | --version | --check-sandbox) exec calotyped "$@" ;;
esac
if [ -d "${CALOTYPE_DATA:=./data}" ] && ! [ -w "$CALOTYPE_DATA" ]; then
	echo "$CALOTYPE_DATA must belong to user $(id -u): chown -R $(id -u):$(id -g) on the host" >&2
	exit 1
fi
case ${CALOTYPE_INSECURE:-no} in
yes | true | on | 1) insecure=yes ;;
*) insecure= ;;
esac
if [ -z "${CALOTYPE_API_KEY:-}${CALOTYPE_API_KEY_FILE:-}$insecure" ]; then
	key=$(calotyped key add --if-none --scope read,write,admin --name first)
	if [ -n "$key" ]; then
		echo "The first API key, with all scopes. It is shown this once:" >&2
		echo "    $key" >&2
	fi
fi
exec calotyped "$@"
