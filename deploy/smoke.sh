#!/usr/bin/env bash
# Proves from outside that the deployment works: a changed price reaches its tags, a wrong one is refused and counted,
# a call rings and is answered.
#
#   deploy/smoke.sh         prints a line per check; exit code 0 only if every one passed
#
# It uses the published ports, and takes the API token out of a container. Everything it waits for has a deadline.
# The price is put back in the end, so it may run at any time. Needs bash, curl and python3.
set -uo pipefail
cd "$(dirname "$0")"

store=store-1
product=coffee
start_secs=180 # for everything to be ready and every tag to show its first face
price_secs=60
call_secs=120
passed=0
failed=0

compose() { if docker compose version &>/dev/null; then docker compose "$@"; else docker-compose "$@"; fi; }
url() { echo "http://$(compose port "$1" "$2")"; }

# The value of a Python expression over the JSON document v.
json() { python3 -c "import json, sys; v = json.load(sys.stdin); print($1)" 2>/dev/null; }
get() { curl -fsS --max-time 10 "$1" 2>&1; }
post() { curl -fsS --max-time 10 -X POST -H "Authorization: Bearer $token" -H 'Content-Type: application/json' -d "$2" "$1" 2>&1; }

# within SECONDS COMMAND…: runs it once a second until it succeeds or the time is over; keeps what it said last.
within() {
  local deadline=$((SECONDS + $1)); shift
  until said=$("$@"); do
    ((SECONDS < deadline)) || return 1
    sleep 1
  done
}

# check NAME SECONDS COMMAND…: a line about it.
check() {
  local name=$1 began=$SECONDS; shift
  if within "$@"; then
    passed=$((passed + 1))
    printf 'ok    %-48s %3d s  %s\n' "$name" $((SECONDS - began)) "$said"
  else
    failed=$((failed + 1))
    printf 'FAIL  %-48s %3d s  %s\n' "$name" $((SECONDS - began)) "$said"
    return 1
  fi
}

finish() {
  echo "$passed passed, $failed failed"
  ((failed == 0))
  exit
}

is() { [[ $2 == "$3" ]] && echo "$1 $2" || { echo "$1 $2, not $3"; return 1; }; }
ready() { get "$1/readyz"; }
status() { curl -s -o /dev/null --max-time 10 -w '%{http_code}' "$@"; }

# A price that is none is refused by a Problem (RFC 9457) that says why, and the price stays.
refuses_wrong_price() {
  local answer
  answer=$(curl -sS --max-time 10 -X POST -H "Authorization: Bearer $token" -H 'Content-Type: application/json' \
    -d '{"price_minor": -1}' -w '\n%{http_code} %{content_type}' \
    "$prices/api/v1/stores/$store/products/$product/changes" 2>&1)
  [[ ${answer##*$'\n'} == "422 application/problem+json" ]] || { echo "$answer"; return 1; }
  json '"%s: %s" % (v["type"], v["detail"])' <<<"${answer%$'\n'*}"
}
price_is() { is "price is" "$(price)" "$1"; }

# counts_refusal URL PREFIX KIND COMMAND…: the program's own counter of refused requests grows with the command.
refused() { get "$1/metrics" | awk -v name="$2_http_refused_total" -v kind="kind=\"$3\"" \
  'index($0, name "{") == 1 && index($0, kind) { n += $NF } END { print n + 0 }'; }
counts_refusal() {
  local url=$1 prefix=$2 kind=$3 before after; shift 3
  before=$(refused "$url" "$prefix" "$kind")
  "$@" >/dev/null
  after=$(refused "$url" "$prefix" "$kind")
  echo "${prefix}_http_refused_total{kind=\"$kind\"} $before, then $after"
  ((after > before))
}

needs_token() { is status "$(status -X PUT "$prices/api/v1/stores/$store" -d '{}')" 401; }

# A stranger's CONNECT: client ID GID_RTC_APP@@@x, user and password "x". CONNACK 4: bad user name or password.
refuses_strangers() {
  python3 - "${mqtt#http://}" <<'P'
import socket, struct, sys
host, port = sys.argv[1].rsplit(":", 1)
text = lambda s: struct.pack("!H", len(s)) + s
body = text(b"MQTT") + b"\x04\xc2\x00\x3c" + text(b"GID_RTC_APP@@@x") + text(b"x") + text(b"x")
with socket.create_connection((host, int(port)), 5) as s:
    s.sendall(bytes([0x10, len(body)]) + body)
    answer = s.recv(4)
print("CONNACK", answer[3] if len(answer) == 4 else answer)
sys.exit(answer != b"\x20\x02\x00\x04")
P
}

tags_of_store() { get "$prices/api/v1/tags?store=$store&limit=500"; }
all_current() {
  local counts
  counts=$(tags_of_store | json '"%d of %d tags" % (sum(t["standing"] == "current" for t in v["items"]), len(v["items"]))')
  echo "$counts"
  [[ $counts =~ ^([0-9]+)\ of\ ([0-9]+) && ${BASH_REMATCH[1]} == "${BASH_REMATCH[2]}" && ${BASH_REMATCH[1]} -gt 0 ]]
}

price() { get "$prices/api/v1/stores/$store/products/$product" | json 'v["price_minor"]'; }

change_completed() { is "change is" "$(get "$prices/api/v1/changes/$1" | json 'v["state"]')" completed; }
# A tag shows a price when it has confirmed the hash of the face that carries it.
tags_show() {
  local counts
  counts=$(get "$prices/api/v1/tags?product=$product&limit=500" | json "'%d of %d tags confirmed $1' % (
    sum(bool(t['shows'] and t['should_show'] and t['shows']['price_minor'] == $1
             and t['shows']['face'] == t['should_show']['face']) for t in v['items']), len(v['items']))")
  echo "$counts"
  [[ $counts =~ ^([0-9]+)\ of\ ([0-9]+) && ${BASH_REMATCH[1]} == "${BASH_REMATCH[2]}" && ${BASH_REMATCH[1]} -gt 0 ]]
}
till_told() { is "till is told" "$(get "$prices/api/v1/stores/$store/products/$product" | json 'v["till_minor"]')" "$1"; }

start_change() { post "$prices/api/v1/stores/$store/products/$product/changes" "{\"price_minor\": $1, \"reason\": \"smoke test\"}" | json 'v["change"]'; }

# change_price NAME PRICE
change_price() {
  local change
  check "$1: the service takes it" 0 start_change "$2" || return
  change=$said
  check "$1: every tag confirms the new face" $price_secs tags_show "$2"
  check "$1: the till is told" $price_secs till_told "$2"
  check "$1: the change is completed" $price_secs change_completed "$change"
}

# The newest call that rang since the beginning and for which the expression c[…] holds.
call_since() {
  get "$calls/api/v1/calls?limit=1000" | json "[c for c in v if c['created_at'] > $began_ms and c['alerted_at'] and ($1)][0]['call']" ||
    { echo "no such call so far"; return 1; }
}
describe() { get "$calls/api/v1/calls/$1" | json '"%s calls %s, %s" % (v["caller_device"], v["answered_by"] or v["callee"], v["reason"] or v["phase"])'; }
has_call() {
  local call
  if call=$(call_since "$1"); then describe "$call"; else echo "$call"; return 1; fi
}

audit_holds() { compose exec -T pricetag-service audit-verify /data/audit --head /audit-head/head.json; }

token=$(compose exec -T pricetag-service cat /secrets/api-token.secret) || { echo "smoke.sh: is the deployment running?" >&2; exit 1; }
mqtt=$(url broker 1883)
broker=$(url broker 8080)
prices=$(url pricetag-service 8093)
calls=$(url rtc-manager 8091)
north=$(url ap-north 8094)
south=$(url ap-south 8094)
began_ms=$(python3 -c 'import time; print(int(time.time() * 1000))')

check "broker is ready" $start_secs ready "$broker" || finish
check "price-tag service is ready" $start_secs ready "$prices" || finish
check "call manager is ready" $start_secs ready "$calls" || finish
check "access point north is ready" $start_secs ready "$north"
check "access point south is ready" $start_secs ready "$south"
check "the API wants its token" 1 needs_token
check "the broker refuses a stranger" 1 refuses_strangers
check "every tag shows what it should" $start_secs all_current || finish

check "a price can be read" 10 price || finish
before=$said
check "a wrong price is refused" 0 refuses_wrong_price
check "a refused price changes nothing" 0 price_is "$before"
check "the refusal of a price is counted" 0 counts_refusal "$prices" pricetag bad-price refuses_wrong_price
check "the broker counts what it refuses" 0 counts_refusal "$broker" broker no-such-path status "$broker/no-such-path"
check "the call manager counts what it refuses" 0 counts_refusal "$calls" rtc_manager no-such-path status "$calls/no-such-path"
for point in "$north" "$south"; do
  check "an access point counts what it refuses" 0 counts_refusal "$point" ap_gateway no-such-path status "$point/no-such-path"
done
change_price "price up" $((before + 50))
change_price "price down" "$before"

check "a call rang" $call_secs has_call True
check "a call was answered" $call_secs has_call "c['answered_at']"
check "an answered call was hung up" $call_secs has_call "c['answered_at'] and c['reason'] == 'hangup'"
check "the audit log is as it was written" 10 audit_holds
finish
