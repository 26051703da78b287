#!/bin/sh
# Compares our DNS reader and writer with miekg/dns 1.1.55 (which CoreDNS 1.11.1 uses) on made-up requests, replies,
# names and mnemonics: verdicts, refusals, SetReply, Len, Truncate and Pack, byte for byte.
#
# Usage: dnspack.sh [CASES [SEED...]]    (default: 30000 cases for each of the seeds 1 2 3)
#
# Exit 77 with a reason without Go, a C compiler, or the module (from the Go module proxy or the module cache).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
count=${1:-30000}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- 1 2 3

skip() {
    echo "dnspack: skipped: $1"
    exit 77
}
command -v go >/dev/null || skip "no go command"
cc=${CC:-cc}
command -v "$cc" >/dev/null || skip "no C compiler ($cc)"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here/oracle/dnspack/main.go" "$here/oracle/dnspack/go.mod" "$here/oracle/dnspack/go.sum" "$work"
cd "$work"
timeout 120 go mod download github.com/miekg/dns >"$work/log" 2>&1 ||
    skip "github.com/miekg/dns is not to be had: $(tail -n 1 "$work/log")"
timeout 300 go build -o oracle . >"$work/log" 2>&1 || {
    cat "$work/log"
    exit 1
}
"$cc" -std=gnu17 -D_GNU_SOURCE -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all \
    -I"$root" -I"$root/base/include" -o dnspack "$here/dnspack.c" \
    "$root"/base/dns/*.c "$root/base/arena.c" "$root/base/encoding.c" -lsodium

status=0
for seed; do
    ./dnspack generate "$seed" "$count" >cases
    timeout 300 ./oracle <cases >answers
    echo "seed $seed:"
    timeout 300 ./dnspack check cases answers || status=1
done
exit $status
