# The Debian packages that each step needs; sourced by run and test.
# shellcheck shell=bash

build_packages="gcc libc6-dev meson ninja-build pkg-config libmicrohttpd-dev libcurl4-openssl-dev
	libssl-dev libmagic-dev libsqlite3-dev libjansson-dev libinih-dev libvips-dev libwebp-dev
	libseccomp-dev zlib1g-dev"
run_packages="curl ca-certificates"
test_packages="clang libclang-rt-14-dev llvm libcriterion-dev clang-format python3 strace patch git
	xfsprogs e2fsprogs sqlite3 procps libimage-exiftool-perl nginx-light caddy openssl chromium
	systemd mandoc"

# Node and npm may have come from elsewhere than Debian, and then conflict with Debian's.
command -v node >/dev/null || test_packages="$test_packages nodejs"
command -v npm >/dev/null || test_packages="$test_packages npm"

# Installs what is missing of the named packages; quick when nothing is.
install_packages() {
	local missing=() package
	for package in "$@"; do
		dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null | grep -q '^.i' ||
			missing+=("$package")
	done
	[ ${#missing[@]} -eq 0 ] && return 0
	if [ "$(id -u)" -ne 0 ]; then
		echo "These Debian packages are missing, and only root can install them:" >&2
		echo "    apt-get install -y --no-install-recommends ${missing[*]}" >&2
		return 1
	fi
	echo "Installing ${#missing[@]} Debian packages: ${missing[*]}" >&2
	local log
	log=$(mktemp)
	if ! (
		# Some bring a service; none is to be started for a test.
		policy=/usr/sbin/policy-rc.d
		if [ ! -e "$policy" ]; then
			trap 'rm -f "$policy"' EXIT
			printf '#!/bin/sh\nexit 101\n' >"$policy"
			chmod 755 "$policy"
		fi
		apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y \
			--no-install-recommends "${missing[@]}"
	) >"$log" 2>&1; then
		tail -20 "$log" >&2
		echo "apt-get failed; its whole output is in $log" >&2
		return 1
	fi
	rm -f "$log"
}
