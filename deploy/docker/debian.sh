#!/bin/sh
# A minimal Debian with Python as a Docker image, made on the spot: for where no image registry can be reached.
#
#   debian.sh NAME        such as: debian.sh streamgauge/debian:bookworm
#
# Debian 12, since its Python is 3.11, one of those apache-flink has wheels for. Needs root, debootstrap, and a Debian
# mirror. About 40 s.
set -eu

name=${1:?usage: debian.sh NAME}
suite=bookworm
packages=python3-minimal,libpython3-stdlib,libpython3.11,ca-certificates

[ "$(id -u)" = 0 ] || { echo "debian.sh: debootstrap needs root" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "debian.sh: debootstrap is missing (apt-get install debootstrap)" >&2; exit 1; }

# the mirror apt uses here, if it has this suite; otherwise debootstrap's own default
mirror=$(apt-get indextargets --format '$(REPO_URI)' "Codename: $suite" "Created-By: Packages" 2>/dev/null | head -n 1) || mirror=

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT INT TERM
# shellcheck disable=SC2086 -- an empty mirror is no argument
debootstrap --variant=minbase --include="$packages" "$suite" "$root" $mirror >"$root.log" 2>&1 || {
    tail -n 5 "$root.log" >&2
    exit 1
}
rm -rf "$root.log" "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/doc/* "$root"/usr/share/man/*
tar --numeric-owner -C "$root" -c . | docker import --change 'CMD ["/bin/sh"]' - "$name" >/dev/null
