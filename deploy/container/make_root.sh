#!/usr/bin/env bash
# make_root.sh PENSTOCK FOLDER
#
# Makes the file system of the image in FOLDER, which is new or empty: the program PENSTOCK, stripped,
# the libraries that it needs, the authorities of the system, a user that is not root, and the
# configuration beside this script. Nothing else: no shell, no package manager. Run as root on the
# Debian on which the program was built.
set -euo pipefail
umask 022

readonly user=65532
readonly authorities=/etc/ssl/certs/ca-certificates.crt
# Ways of logging in that the client library of the mysql check loads when a server asks for them.
readonly plugins=(caching_sha2_password sha256_password client_ed25519)

die() {
    echo "make_root.sh: $*" >&2
    exit 1
}

(($# == 2)) || die "usage: make_root.sh PENSTOCK FOLDER"
readonly program=$1 root=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[[ -x $program ]] || die "$program is no program; build it with: ./dev build"
((EUID == 0)) || die "files of the image belong to others: run this as root"
[[ -r $authorities ]] || die "there is no $authorities: apt-get install ca-certificates"
mkdir -p "$root"
chmod 755 "$root"
[[ -z $(ls -A "$root") ]] || die "$root is not empty"

# The files that the loader would load for the given ones, the loader included.
needed() {
    local list
    list=$(ldd "$@") || die "ldd cannot read $*"
    if grep 'not found' <<<"$list" >&2; then die "a library is missing"; fi
    awk '$2 == "=>" && $3 ~ "^/" { print $3 } $1 ~ "^/" && $1 !~ ":$" { print $1 }' <<<"$list" |
        sort -u
}

# add FILE: under its own name, in the folder where it really is.
add() {
    local folder
    folder=$(realpath "$(dirname "$1")")
    install -D --mode=755 "$1" "$root$folder/$(basename "$1")"
}

install -d "$root"/{dev,proc,sys,tmp,etc/ssl/certs,run,usr/bin,usr/lib,usr/lib64,usr/lib/ssl}
ln -s usr/lib "$root/lib"
ln -s usr/lib64 "$root/lib64"

install --mode=755 "$program" "$root/usr/bin/penstock"
strip --strip-unneeded "$root/usr/bin/penstock"
files=("$program")
for name in "${plugins[@]}"; do
    for file in /usr/lib/*/libmariadb3/plugin/"$name".so; do
        if [[ -e $file ]]; then
            files+=("$file")
            add "$file"
        fi
    done
done
needed "${files[@]}" | while read -r file; do add "$file"; done

install --mode=644 "$authorities" "$root$authorities"
ln -s ../../../etc/ssl/certs/ca-certificates.crt "$root/usr/lib/ssl/cert.pem"  # OpenSSL looks here
printf 'root:x:0:0:root:/:/none\npenstock:x:%s:%s:Penstock:/:/none\n' $user $user >"$root/etc/passwd"
printf 'root:x:0:\npenstock:x:%s:\n' $user >"$root/etc/group"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
install -D --mode=644 "$here/penstock.toml" "$root/etc/penstock/penstock.toml"
# As /tmp: a tmpfs that is mounted there gets this mode from it, but not the owner.
install -d --mode=1777 --owner=$user --group=$user "$root/run/penstock"
chmod 1777 "$root/tmp"
