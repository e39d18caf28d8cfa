#!/usr/bin/env bash
# Kills a worker in the middle of its work, and shows that nothing is lost.
#
# One redis-server, one video-api and two video-worker of their own, 200 uploads by curl. One worker
# is killed by SIGKILL while it works. All videos must still be done, and the messages that the killed
# worker had in flight must run on the other one within 10 s.
#
#   examples/video/kill-a-worker.sh            with a debug build
#   examples/video/kill-a-worker.sh --release  with a release build
#
# Exits with 0 only if all of it held.

set -euo pipefail
export LC_ALL=C # One order of sorting for sort and comm.

videos=200
slowdown_ms=200      # Each video takes at least this long, so that a kill finds messages in flight.
concurrency=4        # Of each worker.
limit_ms=10000       # From the kill to when the last of the killed worker's videos runs again.
patience=120         # Seconds for everything after the build, against a hang.

die() { echo "kill-a-worker: $*" >&2; exit 2; }

for tool in redis-server redis-cli curl cargo; do
    command -v "$tool" > /dev/null || case $tool in
        redis-*) die "$tool is missing: apt install redis-server | dnf install redis | brew install redis" ;;
        curl) die "curl is missing: apt install curl | dnf install curl | brew install curl" ;;
        cargo) die "cargo is missing: see https://rustup.rs" ;;
    esac
done
if command -v sha256sum > /dev/null; then sha256="sha256sum"; else sha256="shasum -a 256"; fi

work=$(mktemp -d "${TMPDIR:-/tmp}/kill-a-worker.XXXXXX")
processes=""
clean_up() {
    for process in $processes; do kill -9 "$process" 2> /dev/null || true; done
    wait 2> /dev/null || true
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

cd "$(dirname "$0")/../.."
echo "building video-api and video-worker"
cargo build "$@" -p video-api -p video-worker --message-format=json-render-diagnostics > "$work/build"
binary() { sed -n "s|.*\"executable\":\"\([^\"]*/$1\)\".*|\1|p" "$work/build"; }
api_binary=$(binary video-api)
worker_binary=$(binary video-worker)
[ -x "$api_binary" ] && [ -x "$worker_binary" ] || die "cargo built no binaries"

# Waits until a command succeeds.
SECONDS=0
until_ok() {
    local what=$1; shift
    until "$@" > /dev/null 2>&1; do
        [ "$SECONDS" -lt "$patience" ] || { tail -n 20 "$work"/*.log >&2; die "gave up waiting for $what"; }
        sleep 0.05
    done
}

# Redis has no way to ask for any free port, so ports are tried. One that is taken ends the server.
for _ in 1 2 3 4 5 6 7 8 9 10; do
    port=$((20000 + RANDOM % 20000))
    redis-server --port "$port" --bind 127.0.0.1 --save "" --appendonly yes --dir "$work" > "$work/redis.log" 2>&1 &
    redis=$!
    until grep -q "Ready to accept connections" "$work/redis.log" || ! kill -0 "$redis" 2> /dev/null; do sleep 0.05; done
    if kill -0 "$redis" 2> /dev/null; then break; fi
    redis=""
done
[ -n "$redis" ] || { cat "$work/redis.log" >&2; die "redis-server did not start"; }
processes="$processes $redis"

# The clock in ms. Redis has one that is the same everywhere; date has not.
now_ms() { redis-cli -p "$port" TIME | { read -r seconds; read -r micros; echo $((seconds * 1000 + micros / 1000)); }; }

export REDIS_URL="redis://127.0.0.1:$port" UPLOADS="$work/uploads" NO_COLOR=1 RUST_LOG=info
export CONCURRENCY=$concurrency SLOWDOWN_MS=$slowdown_ms
mkdir "$UPLOADS" "$work/videos" "$work/answers"

LISTEN=127.0.0.1:0 "$api_binary" > "$work/api.log" 2>&1 &
processes="$processes $!"
until_ok "the API" grep -q "listening on" "$work/api.log"
url=$(sed -n 's/.*listening on \(http:[^ ]*\).*/\1/p' "$work/api.log")

"$worker_binary" > "$work/doomed.log" 2>&1 &
doomed=$!
"$worker_binary" > "$work/other.log" 2>&1 &
other=$!
processes="$processes $doomed $other"
until_ok "the first worker" grep -q "worker live" "$work/doomed.log"
until_ok "the second worker" grep -q "worker live" "$work/other.log"
echo "redis-server on port $port, the API on $url, workers $doomed and $other"

# One curl for all uploads: each is a request of its own.
i=0
while [ "$i" -lt "$videos" ]; do
    # 20 kB of noise each.
    head -c 20000 /dev/urandom > "$work/videos/$i"
    [ "$i" -eq 0 ] || echo next
    printf 'url = "%s/videos"\ndata-binary = "@%s"\noutput = "%s"\nwrite-out = "%%{http_code}\\n"\n' \
        "$url" "$work/videos/$i" "$work/answers/$i"
    i=$((i + 1))
done > "$work/uploads.curl"
curl --silent --show-error --config "$work/uploads.curl" > "$work/uploads.codes"
accepted=$(grep -c '^202$' "$work/uploads.codes" || true)
echo "$accepted of $videos uploads accepted"

done_count() { find "$UPLOADS" -name '*.json' | wc -l | tr -d ' '; }
at_least() { [ "$(done_count)" -ge "$1" ]; }

# The ids of the videos that a log says were begun, or were finished.
ids() { sed -n "s/.*$1 video_id=\([0-9a-f-]*\).*/\1/p" "$2" | sort -u; }

until_ok "the first videos" at_least $((videos / 4))
disown "$doomed" # Or bash reports its death on its own.
kill -9 "$doomed"
killed_at=$(now_ms)
done_at_kill=$(done_count)
ids "processing video" "$work/doomed.log" > "$work/begun"
ids "video processed" "$work/doomed.log" > "$work/finished"
comm -23 "$work/begun" "$work/finished" > "$work/held"
held=$(wc -l < "$work/held" | tr -d ' ')
echo "worker $doomed killed by SIGKILL after $done_at_kill videos were done, with $held in flight"

recovered() { ids "processing video" "$work/other.log" | comm -23 "$work/held" - | { ! read -r _; }; }
until_ok "the other worker to recover" recovered
took_ms=$(($(now_ms) - killed_at))
echo "worker $other ran the last of the $held after $((took_ms / 1000)).$(printf %03d $((took_ms % 1000))) s"

until_ok "all videos" at_least "$videos"
done_ms=$(($(now_ms) - killed_at))
echo "all done $((done_ms / 1000)).$(printf %03d $((done_ms % 1000))) s after the kill; asking the API for each"

# Asks the API for every video, and compares the checksum with the file that was sent.
i=0
while [ "$i" -lt "$videos" ]; do
    id=$(sed -n 's/.*"video_id":"\([^"]*\)".*/\1/p' "$work/answers/$i")
    [ "$i" -eq 0 ] || echo next
    printf 'url = "%s/videos/%s"\noutput = "%s"\n' "$url" "$id" "$work/answers/$i.status"
    i=$((i + 1))
done > "$work/statuses.curl"
curl --silent --show-error --config "$work/statuses.curl"
right=0
i=0
while [ "$i" -lt "$videos" ]; do
    sum=$($sha256 "$work/videos/$i" | cut -d ' ' -f 1)
    if grep -q '"status":"done"' "$work/answers/$i.status" && grep -q "\"sha256\":\"$sum\"" "$work/answers/$i.status"; then
        right=$((right + 1))
    fi
    i=$((i + 1))
done

verdict=PASS
check() { if [ "$2" "$3" "$4" ]; then echo "  ok    $1"; else echo "  FAIL  $1"; verdict=FAIL; fi; }
echo
check "all $videos uploads were accepted ($accepted)" "$accepted" -eq "$videos"
check "the killed worker had messages in flight ($held)" "$held" -gt 0
check "it was killed in the middle ($done_at_kill of $videos done)" "$done_at_kill" -lt "$videos"
check "all $videos are done with the right checksum, none lost ($right)" "$right" -eq "$videos"
check "its work ran again within $((limit_ms / 1000)) s ($took_ms ms)" "$took_ms" -le "$limit_ms"
echo "$verdict"
[ "$verdict" = PASS ]
