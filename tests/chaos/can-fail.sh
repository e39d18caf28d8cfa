#!/usr/bin/env bash
# Tests the suite itself: applies each patch in `broken/` to a copy of the tree, and plays the scenario that must catch
# it. Exits with 0 only if each was caught.
#
# usage: tests/chaos/can-fail.sh [SECONDS] [SEED] [WAY]
set -euo pipefail
cd "$(dirname "$0")/../.."

# A zombie must fail while another runs its message, which takes some freezes.
seconds=${1:-60} seed=${2:-1} only=${3:-}
# patch;scenario;rules, one of which must be found broken
ways=(
    "no-owner-check;freeze-worker;tokens of a message grow|two workers whose leases both held"
    "settle-before-work;kill-worker;every acknowledged message came to an end"
    "no-recovery;kill-worker;every acknowledged message came to an end"
    "late-recovery;kill-worker;what a dead worker held started again in time"
    "crash-as-attempt;kill-worker;failures are counted as attempts, crashes never"
    "early;calm;nothing started before its time"
    "swallowed;kill-redis;after the drain nothing is left but dead letters"
    "hasty-judge;long-outage;an outage of Redis costs no worker its lease"
    "judges-at-once;lose-workers;no message ran on two workers whose leases both held"
    "lost-answers;snap;after the drain nothing is left but dead letters"
    "stopping-crash;deploy;no crash is counted for a worker that died while it stopped"
    "never-unparks;rolling-deploy;what only newer workers know starts soon once there is one"
    "fires-twice;schedules;the tokens of a message grow|each effect happened once"
    "forgets-ticks;schedules;each tick of a schedule has one message"
    "trusts-quiet;quiet-nat;where nothing is wrong, no send is unknown"
    "never-demoted;sentinel-failover;soon after another server was promoted|every acknowledged message came to an end"
    "believes-the-majority;sentinel-lies;soon after another server was promoted"
    "never-reauthenticated;credentials-rotate;no connection has it"
    "unreached-is-replicated;replica-lag;every acknowledged message came to an end"
    "never-learns-again;cluster-failover;soon after another server was promoted|every acknowledged message came to an end"
    "ignores-ask;cluster-reshard;what a fault of one primary or slot spares goes on"
    "resends-unanswered;cluster-reshard;no refused message ran|tokens of a message grow|ran more often"
    "frees-stale;limits;than its limit|no slot is taken"
    "dead-keeps-slot;limits;no slot is taken"
    "ignores-what-is-set;limits;than its limit|no slot of a limit is free"
    "count-not-repaired;lose-counts;no slot is taken|no slot of a limit is free"
    "frees-anothers-key;unique;no two messages of a unique key are there at once"
    "follows-stale;following;exists if and only if the run counts|tokens of a message grow"
    "relay-forgets;following;tokens of a message grow|ran more often"
    "unreached-is-replicated;cluster-partition;every acknowledged message came to an end"
)

if [ -n "$only" ]; then mapfile -t ways < <(printf '%s\n' "${ways[@]}" | grep "^$only;"); fi

root=$PWD
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
# Outside the copy, so that dependencies are compiled once.
export CARGO_TARGET_DIR=${CAN_FAIL_TARGET:-$root/target/can-fail}
git ls-files --cached --others --exclude-standard | tar --create --files-from=- | tar --extract --directory "$copy"

caught=0
table=$(printf '%-24s %-18s %s' "broken" "scenario" "verdict")
for way in "${ways[@]}"; do
    IFS=';' read -r name scenario rule <<<"$way"
    patch="$root/tests/chaos/broken/$name.patch"
    echo "== $name: $(head -n 1 "$patch")"
    # A patch that no longer applies ends this script.
    patch --directory "$copy" --strip 1 --fuzz 0 --quiet <"$patch"
    (cd "$copy" && cargo build --quiet --release --package chaos)
    status=0
    output=$("$CARGO_TARGET_DIR/release/chaos" --scenario "$scenario" --seconds "$seconds" --seed "$seed" \
        --json "$copy/verdict.json") || status=$?
    echo "$output"
    rm -rf "$(sed -n 's/^histories: //p' <<<"$output")"
    patch --directory "$copy" --strip 1 --fuzz 0 --quiet --reverse <"$patch"
    # 1 is a false verdict; anything else means that there is none.
    if [ "$status" = 1 ] && rules=$(grep -oE "BROKEN.*($rule)" <<<"$output"); then
        caught=$((caught + 1)) verdict="false, as it must be: $(sed -E 's/^BROKEN +//' <<<"$rules" | paste -sd ';')"
    else
        verdict="NOT CAUGHT: exit $status, and none of this was found broken: $rule"
    fi
    table+=$'\n'$(printf '%-24s %-18s %s' "$name" "$scenario" "$verdict")
done

echo
echo "$table"
[ "$caught" -gt 0 ] && [ "$caught" = "${#ways[@]}" ]
