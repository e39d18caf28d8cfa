#!/usr/bin/env bash
# Runs every test. Finds redis-server and faketime, or installs them where the system's package manager can.
set -euo pipefail
cd "$(dirname "$0")/.."

# Installs a package. Arguments: its name for apt, its possible names for dnf, its name for brew.
install() {
    local sudo=()
    if [ "$(id -u)" != 0 ] && command -v sudo >/dev/null; then sudo=(sudo); fi
    if command -v apt-get >/dev/null; then
        "${sudo[@]}" apt-get update -qq
        # Debian starts the service it installs: the tests have servers of their own.
        "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq "$1" >/dev/null
    elif command -v dnf >/dev/null; then
        local name
        for name in $2; do "${sudo[@]}" dnf install -y -q "$name" && break; done
    elif command -v brew >/dev/null; then
        brew install --quiet "$3"
    fi
}

# Requires a command, or says what to do. Arguments: the command, the advice, its packages.
need() {
    if ! command -v "$1" >/dev/null; then
        echo "$1 is missing: installing it"
        install "${@:3}" || true
    fi
    if ! command -v "$1" >/dev/null; then
        echo "$1 is missing and could not be installed: $2" >&2
        exit 1
    fi
}

need redis-server "install Redis 6.2 or newer (https://redis.io/docs/latest/operate/oss_and_stack/install/), so that \
redis-server and redis-cli are on the PATH" redis-server "redis valkey-compat-redis" redis
need faketime "tests of hosts whose clocks differ need it (https://github.com/wolfcw/libfaketime)" \
    faketime libfaketime libfaketime
redis-server --version

# What is built for one run alone needs no incremental state, which is a third of the target directory.
export CARGO_INCREMENTAL=0
cargo test --workspace --all-features "$@"
# The broker without its optional features.
if [ $# = 0 ]; then cargo test --package actor-redis --lib; fi
