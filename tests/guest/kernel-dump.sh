#!/bin/bash
# The kernel backend against a real kernel. Run it through tests/guest/run:
#
#   tests/guest/run tests/guest/kernel-dump.sh KERNEL-DUMP READ-DEVICE [SECONDS]
#
# (the two programs of the build folder). Once with 10,000 peers with three allowed IPs each, and once
# with few peers so large that the kernel splits each over several messages: what we read equals
# `wg show dump` while nobody writes; no torn peer or device is seen while a writer never rests; what a
# read costs. Before that, endpoints that are set, routes, and zones that are adopted. SECONDS (20) is how long each of the two writers runs.
set -eu -o pipefail
kernel_dump=$1 read_device=$2 seconds=${3:-20}

# Ours has no private key, and "(psk)" for a preshared key.
wg_view() { wg show "$1" dump | awk -F'\t' -v OFS='\t' 'NR == 1 { print $2, $3, $4; next }
  { if ($2 != "(none)") $2 = "(psk)"; print }'; }

compare() {
  wg_view "$1" > /tmp/theirs
  "$read_device" dump "$1" > /tmp/ours
  if ! cmp -s /tmp/theirs /tmp/ours; then
    echo "$1: our view and that of wg show differ:" >&2
    diff /tmp/theirs /tmp/ours | head -n 10 >&2 || true
    exit 1
  fi
  echo "$1: our view equals wg show dump ($(($(wc -l < /tmp/ours) - 1)) peers)"
}

try() {
  local device=$1 peers=$2 ips=$3 writer
  ip link add "$device" type wireguard
  # No carrier, no handshakes: the device stays down.
  wg genkey | wg set "$device" private-key /dev/stdin listen-port 51820 fwmark 0x51
  "$kernel_dump" fill "$device" "$peers" "$ips"
  compare "$device"
  echo "$device: netlink: $("$read_device" cost "$device" 20)"
  "$kernel_dump" churn "$device" "$peers" "$ips" "$seconds" &
  writer=$!
  "$kernel_dump" check "$device" "$peers" "$ips" "$((seconds - 1))"
  wait "$writer"
  compare "$device"
  ip link del "$device"
}

# A small device with everything: a preshared key, IPv6 and scoped endpoints, no endpoint, no IPs.
try_values() {
  ip link add wgval type wireguard
  compare wgval
  wg genkey | wg set wgval private-key /dev/stdin
  (umask 077 && wg genpsk > /tmp/psk)
  wg set wgval peer "$(wg genkey | wg pubkey)" preshared-key /tmp/psk endpoint '[2001:db8::1]:7' \
    allowed-ips 10.1.0.0/16,fd00::/64,0.0.0.0/0 persistent-keepalive 25
  wg set wgval peer "$(wg genkey | wg pubkey)"
  wg set wgval peer "$(wg genkey | wg pubkey)" endpoint 192.0.2.1:65535 allowed-ips ::/0
  compare wgval
  if [ -n "${CAPTURE:-}" ]; then
    "$kernel_dump" capture wgval "$CAPTURE/kernel-values"
    "$kernel_dump" fill wgval 1 900
    "$kernel_dump" capture wgval "$CAPTURE/kernel-split"
  fi
  ip link del wgval
}

expect_failure() {
  local text=$1
  shift
  if "$@" > /dev/null 2> /tmp/stderr || ! grep -qF -- "$text" /tmp/stderr; then
    echo "expected a failure with \"$text\" from: $*" >&2
    cat /tmp/stderr >&2
    exit 1
  fi
}

# Each kind of trouble has its own error.
try_failures() {
  expect_failure "no such device" "$read_device" dump nodev0
  expect_failure "not a WireGuard device" "$read_device" dump lo
  ip link add wgerr type wireguard
  expect_failure "permission denied" \
    setpriv --bounding-set -net_admin --inh-caps -all "$read_device" dump wgerr
  ip link del wgerr
  echo "failures: as expected"
}

# An endpoint is set for a peer that is there, and no other peer is made.
try_set() {
  local peer stranger
  ip link add wgset type wireguard
  peer=$(wg genkey | wg pubkey) stranger=$(wg genkey | wg pubkey)
  wg set wgset peer "$peer" allowed-ips 10.0.0.1/32
  for endpoint in 192.0.2.7:7 '[2001:db8::7]:65535'; do
    "$kernel_dump" set wgset "$peer" "$endpoint"
    "$kernel_dump" set wgset "$stranger" "$endpoint"
    [ "$(wg show wgset endpoints)" = "$peer	$endpoint" ]
    [ "$(wg show wgset allowed-ips)" = "$peer	10.0.0.1/32" ]
  done
  expect_failure "permission denied" setpriv --bounding-set -net_admin --inh-caps -all \
    "$kernel_dump" set wgset "$peer" 192.0.2.8:8
  expect_failure "no such device" "$kernel_dump" set nodev0 "$peer" 192.0.2.8:8
  compare wgset
  ip link del wgset
  echo "wgset: endpoints set"
}

# A zone is adopted: created, changed, cut down; the device then is what the zone says.
try_adopt() {
  local device=$1 peers=$2 ips=$3
  ip link add "$device" type wireguard
  wg genkey | wg set "$device" private-key /dev/stdin listen-port 51820
  for state in "$peers $ips 0" "$((peers * 9 / 10)) $ips 1" "$peers $(((ips + 1) / 2)) 2"; do
    "$kernel_dump" adopt "$device" $state
    "$kernel_dump" expect "$device" $state | sort > /tmp/expected
    # Sorted, since new peers stand at the end.
    wg show "$device" dump | tail -n +2 | sort > /tmp/theirs
    if ! cmp -s /tmp/expected /tmp/theirs; then
      echo "$device: wg show dump is not the adopted zone ($state):" >&2
      diff /tmp/expected /tmp/theirs | head -n 10 >&2 || true
      exit 1
    fi
  done
  echo "$device: wg show dump equals the adopted zone ($peers peers with $ips allowed IPs)"
  ip link del "$device"
}

# What is routed elsewhere is known; a default route and what refuses are not elsewhere.
try_routes() {
  ip link add wgroute type wireguard
  ip addr add 10.9.0.1/24 dev wgroute
  ip link set wgroute up
  ip link add vroute type veth peer name vroute2
  ip addr add 192.168.7.1/24 dev vroute
  ip -6 addr add fd07::1/64 dev vroute nodad
  ip link set vroute up
  ip link set vroute2 up
  ip route add blackhole 192.168.9.0/24
  ip route add default via 192.168.7.2
  expect_route() { [ "$("$kernel_dump" route wgroute "$1")" = "$2" ] ||
    { echo "route of $1 is not $2" >&2; exit 1; }; }
  expect_route 10.9.0.2/32 free
  expect_route 10.9.0.1/32 elsewhere # our own: of lo
  expect_route 192.168.7.9/32 elsewhere
  expect_route 192.168.7.0/24 elsewhere
  expect_route fd07::9/128 elsewhere
  expect_route fd08::9/128 free
  expect_route 192.168.9.9/32 free
  expect_route 203.0.113.1/32 free # by the default route alone
  ip link del vroute
  ip link del wgroute
  echo "routes: as expected"
}

try_values
try_failures
try_routes
try_adopt wgadopt 10000 3
try_adopt wgwide 4 1000
try_set
try wgmany 10000 3
try wgbig 6 1000
