#!/usr/bin/env bash
# renew.sh CERT KEY DIR: puts a certificate and its key in force, both in one instant.
#
# DIR/current is a symbolic link to the folder of the pair that counts. The new pair gets a folder of
# its own, and one rename turns the link: whoever reads sees the old pair or the new one, never one
# file of each. Penstock watches the link, so nothing has to be told to it.
#
# As a hook of certbot:  renew.sh "$RENEWED_LINEAGE/fullchain.pem" "$RENEWED_LINEAGE/privkey.pem" DIR
set -euo pipefail
umask 077

die() { echo "renew.sh: $*; what was in force stays" >&2; exit 1; }

(($# == 3)) || { echo "usage: renew.sh CERT KEY DIR" >&2; exit 2; }
cert=$1 key=$2 dir=$3

of_cert=$(openssl x509 -in "$cert" -noout -pubkey) || die "$cert is no certificate"
of_key=$(openssl pkey -in "$key" -pubout) || die "$key is no key"
[[ $of_cert == "$of_key" ]] || die "$key does not belong to $cert"
openssl x509 -in "$cert" -noout -checkend 3600 >/dev/null || die "$cert ends within the hour"

mkdir -p "$dir"
version=$(mktemp -d "$dir/$(date -u +%Y%m%dT%H%M%SZ).XXXX")
cp "$cert" "$version/cert.pem"
cp "$key" "$version/key.pem"
# Penstock runs as a user of its own: give it what the folder above has.
chown -R --reference="$dir" "$version"

ln -s "$(basename "$version")" "$version.link"
mv -T "$version.link" "$dir/current"

# The two before it stay, for going back.
find "$dir" -mindepth 1 -maxdepth 1 -type d ! -name "$(basename "$version")" | sort | head -n -2 |
    xargs -r rm -r
echo "in force: $(openssl x509 -in "$dir/current/cert.pem" -noout -serial -enddate | paste -sd' ')"
