#!/usr/bin/env bash
# Writes conf.d/tenants.toml from tenants.txt, all or nothing. A line of tenants.txt is a tenant, the name
# of its server, and its backends:
#     acme  acme.example.com  10.0.1.1:8443 10.0.1.2:8443
set -euo pipefail
umask 022       # the user penstock reads what this writes
cd -- "$(dirname -- "$0")"

die() { echo "tenants.txt:$number: $1" >&2; exit 1; }

number=0 count=0 names="" upstreams=""
declare -A seen
while read -r tenant name backends || [[ -n $tenant ]]; do
    number=$((number + 1))
    [[ -n $tenant && $tenant != \#* ]] || continue
    [[ $tenant =~ ^[a-z0-9-]{1,64}$ ]] || die "the name of a tenant is of a to z, 0 to 9 and -: $tenant"
    [[ $name =~ ^(\*\.)?[a-z0-9.-]+$ ]] || die "not the name of a server: $name"
    [[ $backends =~ ^[][a-z0-9.:[:blank:]-]+$ ]] || die "no backends: $backends"
    read -ra each <<<"$backends"
    printf -v list '"%s", ' "${each[@]}"
    [[ -z ${seen[$tenant]:-}${seen[$name]:-} ]] || die "$tenant or $name was there before"
    seen[$tenant]=1 seen[$name]=1 count=$((count + 1))
    names+="\"$name\" = \"$tenant\""$'\n'
    upstreams+=$'\n[[upstream]]\n'"name = \"$tenant\""$'\n'
    upstreams+="backend = [${list%, }]"$'\n'
done < tenants.txt

mkdir -p conf.d
cat > conf.d/.tenants.next <<END
# Written by tenants.sh: change tenants.txt instead.

[[listener]]
name = "tenants"
bind = "10.0.0.10:443"
upstream = ""                   # who asks for none of these names is refused

[listener.sni]
$names$upstreams
END
mv conf.d/.tenants.next conf.d/tenants.toml
echo "$count tenants"
