#!/usr/bin/env bash
# Runs every test. Finds redis-server, or installs it where the system's package manager can.
set -euo pipefail
cd "$(dirname "$0")/.."

install_redis() {
    local sudo=()
    if [ "$(id -u)" != 0 ] && command -v sudo >/dev/null; then sudo=(sudo); fi
    if command -v apt-get >/dev/null; then
        "${sudo[@]}" apt-get update -qq
        # Debian starts the service it installs: the tests have servers of their own.
        "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq redis-server >/dev/null
    elif command -v dnf >/dev/null; then
        "${sudo[@]}" dnf install -y -q redis || "${sudo[@]}" dnf install -y -q valkey-compat-redis
    elif command -v brew >/dev/null; then
        brew install --quiet redis
    fi
}

if ! command -v redis-server >/dev/null; then
    echo "redis-server is missing: installing it"
    install_redis || true
fi
if ! command -v redis-server >/dev/null; then
    echo "redis-server is missing and could not be installed. Install Redis 6.2 or newer" >&2
    echo "(https://redis.io/docs/latest/operate/oss_and_stack/install/), so that redis-server is on the PATH." >&2
    exit 1
fi
redis-server --version

cargo test --workspace --all-features "$@"
