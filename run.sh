#!/bin/sh
# Start the whole service on this machine: ./run.sh   (Ctrl-C stops it, the data stays)
# ./run.sh --with-plugin   starts a Plug-in API server beside it
# ./run.sh flask users create alice   runs an operator's command against it, from another terminal
# ./run.sh --setup-only [requirements file ...] only installs; test.sh uses it.
set -eu

with=${1:-}
case "$with" in
    '') then=start ;;
    --with-plugin) then=start && shift ;;
    --setup-only) then=stop && shift ;;
    flask)
        shift
        here=$(cd -P "$(dirname "$0")" && pwd)
        "$here/run.sh" --setup-only
        cd "$here" && exec .venv/bin/python -m shared_accounts.local.operate "$@"
        ;;
    *) echo "usage: ./run.sh [--with-plugin]    (settings come from the environment or .env; see README.md)" >&2 && exit 2 ;;
esac
case "${SHARED_ACCOUNTS_HOME:-/}" in
    /*) ;;
    *) export SHARED_ACCOUNTS_HOME="$PWD/$SHARED_ACCOUNTS_HOME" ;;
esac
CDPATH="" cd -P "$(dirname "$0")"
venv=$PWD/.venv

find_python() {
    for python in python3.13 python3.12 python3.11 python3; do
        # Run it: a pyenv shim or an Apple stub is found on PATH and still is no Python.
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            return
        fi
    done
    echo "run.sh: Python 3.11 or newer is needed and was not found. Install it, then run this again." >&2
    exit 1
}

make_venv() {
    find_python
    if ! "$python" -c 'import ensurepip' >/dev/null 2>&1; then
        # Debian ships Python without the part that makes virtual environments.
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            apt-get update -qq
            DEBIAN_FRONTEND=noninteractive apt-get install -qq -y "$python-venv"
        else
            echo "run.sh: this Python cannot make virtual environments; install that part first" \
                "(Debian, Ubuntu: sudo apt-get install $python-venv), then run this again." >&2
            exit 1
        fi
    fi
    echo "Making a virtual environment with $("$python" --version) ..."
    "$python" -m venv --clear "$venv"
}

# `venv` writes bin/activate last, with the folder's own path in it: that tells a finished
# environment from a half-made or moved one. Importing pip fails where its Python is gone.
grep -qsF "$venv" "$venv/bin/activate" &&
    "$venv/bin/python" -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    make_venv

set -- requirements.txt requirements-local.txt "$@"

# A copy of each installed requirements file lies in the environment. It is removed before and
# put back after installing, so that an interrupted installation is never believed complete.
stale=
for file; do
    cmp -s "$file" "$venv/installed-$file" || stale="$stale $file"
done
if [ -n "$stale" ]; then
    echo "Installing$stale (a first time takes a minute or two) ..."
    for file; do rm -f "$venv/installed-$file"; done
    # All files, not only the changed ones: together they decide the versions.
    "$venv/bin/python" -m pip install -qq --disable-pip-version-check $(printf -- '-r %s ' "$@")
    for file; do cp "$file" "$venv/installed-$file"; done
fi

[ "$then" = stop ] || exec "$venv/bin/python" -m shared_accounts.local ${with:+"$with"}
