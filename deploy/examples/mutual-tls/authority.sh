#!/usr/bin/env bash
# A small authority of one's own, for trying this recipe. Each has a folder: ca.pem, ca.key, crl.pem. Keep
# these where neither the proxy nor the servers can read them.
#
#   authority.sh create DIR                     makes it
#   authority.sh server|client DIR FILE NAME    writes FILE.pem and FILE.key, valid for 90 days;
#                                               NAME is a host name or a URI (spiffe://...)
#   authority.sh revoke DIR CERT                puts CERT on the list DIR/crl.pem
#   authority.sh list DIR                       writes that list anew: it is valid for 30 days
#   authority.sh publish DIR TO                 puts what all may know, ca.pem and crl.pem, into folder TO
set -euo pipefail
umask 077

usage() { sed -n '5,10s/^# *//p' "$0" >&2; exit 2; }

# openssl tells much while all is well.
quiet() {
    local said
    said=$("$@" 2>&1) || { printf '%s\n' "$said" >&2; exit 1; }
}

# FILE.next becomes FILE by a rename, so nobody ever reads half of it. Neither certificates nor lists are
# secret; they belong to whom the folder belongs, whoever runs this.
put_in_place() {
    chmod 644 "$1.next"
    ((EUID != 0)) || chown --reference="$(dirname "$1")" "$1.next"
    mv "$1.next" "$1"
}

write_list() {
    quiet openssl ca -config "$1/ca.cnf" -gencrl -out "$1/crl.pem.next"
    put_in_place "$1/crl.pem"
}

publish() {
    local file
    (umask 022 && mkdir -p "$2")
    for file in ca.pem crl.pem; do
        cp "$1/$file" "$2/$file.next"
        put_in_place "$2/$file"
    done
}

new_key=(openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)

create() {
    mkdir -p "$1"
    : >"$1/index.txt"
    echo 01 >"$1/crlnumber"
    cat >"$1/ca.cnf" <<CONFIG
[ca]
default_ca = this
[this]
certificate = $1/ca.pem
private_key = $1/ca.key
database = $1/index.txt
crlnumber = $1/crlnumber
default_md = sha256
default_crl_days = 30
CONFIG
    quiet "${new_key[@]}" -x509 -days 3650 -subj "/CN=$(basename "$1") authority" \
        -keyout "$1/ca.key" -out "$1/ca.pem"
    write_list "$1"
}

issue() {
    local usage=$1 dir=$2 file=$3 name=$4 kind=DNS
    [[ $name == *://* ]] && kind=URI
    mkdir -p "$(dirname "$file")"
    quiet "${new_key[@]}" -subj "/CN=${name##*/}" -keyout "$file.key" -out "$file.csr"
    quiet openssl x509 -req -in "$file.csr" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -days 90 \
        -set_serial "0x1$(openssl rand -hex 7)" -out "$file.pem" -extfile <(
            printf '%s\n' "subjectAltName=$kind:$name" "extendedKeyUsage=$usage" \
                keyUsage=digitalSignature
        )
    rm "$file.csr"
}

case "${1-} $#" in
    'create 2') create "$2" ;;
    'server 4') issue serverAuth "$2" "$3" "$4" ;;
    'client 4') issue clientAuth "$2" "$3" "$4" ;;
    'revoke 3')
        quiet openssl ca -config "$2/ca.cnf" -revoke "$3"
        write_list "$2"
        ;;
    'list 2') write_list "$2" ;;
    'publish 3') publish "$2" "$3" ;;
    *) usage ;;
esac
