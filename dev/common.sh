# shellcheck shell=bash
# shellcheck disable=SC2164   # sourced under set -e
# What the scripts here share. Sourced, never run.
#
# Tests and the demo happen in a workshop: a temporary directory with a copy of this tree, a private
# PostgreSQL, its clusters and logs. Root works there as the user postgres, for PostgreSQL's servers
# refuse to run as root; everybody else as oneself. Neither the system nor the checkout is touched.

say() { printf '%s\n' "chpg: $*" >&2; }
die() { say "$*"; exit 1; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo -- "$@"
    else
        die "this needs root's rights, and there is no sudo: $*"
    fi
}

is_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# ---- Which PostgreSQL

# PG_VERSION_MAJOR, or the version of PG_CONFIG, or that of the newest server installed, or the one
# that Debian's package "postgresql" stands for.
postgres_major() {
    if [ -n "${PG_VERSION_MAJOR:-}" ]; then
        echo "$PG_VERSION_MAJOR"
    elif [ -n "${PG_CONFIG:-}" ]; then
        "$PG_CONFIG" --version | sed -E 's/^PostgreSQL ([0-9]+).*/\1/'
    else
        newest_installed_major | grep . || default_major
    fi
}

newest_installed_major() {
    local server
    for server in /usr/lib/postgresql/*/bin/postgres; do
        [ ! -x "$server" ] || basename "${server%/bin/postgres}"
    done | sort -n | tail -n 1
}

default_major() {
    apt-cache depends postgresql 2>/dev/null |
        sed -n -E 's/^ *Depends: postgresql-([0-9]+)$/\1/p' | grep . ||
        die "apt knows no package postgresql: apt-get update first, or set PG_VERSION_MAJOR"
}

# ---- The workshop

work=
keep=no
emulator_pid=

# Sets major, work, tree, bindir, and as_user, a prefix for whatever happens in the workshop.
# Whoever opens it sees to it that it is closed.
open_workshop() {
    local top=$1

    major=$(postgres_major)
    work=$(mktemp -d "${TMPDIR:-/tmp}/chpg.XXXXXX")
    tree=$work/tree
    bindir=$work/pg/usr/lib/postgresql/$major/bin

    as_user=(env)
    if [ "$(id -u)" -eq 0 ]; then
        as_user=(setpriv --reuid=postgres --regid=postgres --init-groups --)
        chown postgres:postgres "$work"
    fi

    cd "$work"
    plain_environment
    "${as_user[@]}" mkdir tree log sockets tmp
    tar -C "$top" --exclude=./.git -cf - . | "${as_user[@]}" tar -C tree -xf -
    private_postgres
}

# Debian's programs, and nothing of the caller's make or PostgreSQL but PG_TEST_TIMEOUT_DEFAULT.
plain_environment() {
    local name
    for name in MAKEFLAGS MFLAGS MAKELEVEL "${!PG@}"; do
        [ "$name" = PG_TEST_TIMEOUT_DEFAULT ] || unset "$name"
    done
    export PATH=$bindir:/usr/sbin:/usr/bin:/sbin:/bin HOME=$work TMPDIR=$work/tmp LC_ALL=C.UTF-8
}

# PostgreSQL finds its files from where its programs are. So a copy of the programs among links to
# everything else is an installation of its own, and what is installed there stays there. It is made
# of Debian's, or of one that is laid out alike below CHPG_POSTGRES (see dev/sanitized).
private_postgres() {
    local dir from=${CHPG_POSTGRES:-}/usr

    for dir in lib/postgresql/"$major" share/postgresql/"$major" include/postgresql; do
        "${as_user[@]}" mkdir -p "pg/usr/${dir%/*}"
        "${as_user[@]}" cp -as "$from/$dir" "pg/usr/${dir%/*}/"
    done
    "${as_user[@]}" cp --remove-destination "$from/lib/postgresql/$major/bin/"* "$bindir/"
}

close_workshop() {
    [ -n "$work" ] || return 0
    [ ! -f "$work/data/postmaster.pid" ] ||
        "${as_user[@]}" "$bindir/pg_ctl" -D "$work/data" -m immediate -s stop || true
    if [ -n "$emulator_pid" ] && kill "$emulator_pid" 2>/dev/null; then
        wait "$emulator_pid" || true
    fi
    end_stragglers
    cd /
    if [ "$keep" = yes ]; then
        say "everything is left in $work"
    else
        rm -rf "$work"
    fi
}

# What a test that failed or was interrupted left running: its arguments name the workshop.
end_stragglers() {
    local signal pids
    for signal in TERM KILL; do
        # shellcheck disable=SC2062
        pids=$(grep -l -s -F --file=- /proc/[0-9]*/cmdline <<<"$work/" | cut -d / -f 3) || true
        [ -n "$pids" ] || break
        # shellcheck disable=SC2086
        kill -s "$signal" $pids 2>/dev/null || true
        sleep 1
    done
}

# make, in the copy of the tree, for the private PostgreSQL. CC and COPT are the caller's.
make_in_tree() {
    "${as_user[@]}" make -s -C "$tree" PG_CONFIG="$bindir/pg_config" with_llvm=no \
        ${CC:+CC="$CC"} ${COPT:+COPT="$COPT"} "$@"
}

install_chpg() {
    make_in_tree clean
    make_in_tree -j"$(nproc)" all
    make_in_tree install >"$work/log/install.log"
}

# Whatever starts from here on finds itself at this time, and time goes on as ever. What was built
# before must not be younger, so this comes after.
shift_clock() {
    local at
    at=$(date -d "$1" +%s) || die "not a time: $1"
    "${as_user[@]}" cc -O2 -Wall -Wextra -shared -fPIC -o shifted_clock.so tree/dev/shifted_clock.c -ldl
    export CHPG_CLOCK_SHIFT=$((at - $(date +%s)))
    export LD_PRELOAD=$work/shifted_clock.so
    [ "$(date +%s)" -ge "$at" ] || die "the clock is not shifted"
    say "the clock says $(date --iso-8601=seconds)"
}

# Before PostgreSQL 17, sessions share nothing unless the postmaster loads chpg.
preloaded() {
    [ "$major" -ge 17 ] || echo "shared_preload_libraries = 'chpg'"
}

# A cluster that only its user can reach: no TCP, and the socket is in the workshop. The arguments
# are further lines of its configuration.
# shellcheck disable=SC2120
start_cluster() {
    "${as_user[@]}" initdb -D data -U postgres -A trust -E UTF8 --no-locale -N \
        >log/initdb.log
    "${as_user[@]}" tee -a data/postgresql.conf >/dev/null <<END
fsync = off
listen_addresses = ''
unix_socket_directories = '$work/sockets'
$(printf '%s\n' "$@")
END
    "${as_user[@]}" pg_ctl -D data -l log/server.log -w -s start || {
        cat log/server.log >&2
        die "PostgreSQL does not start"
    }
    export PGHOST=$work/sockets PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
}

# In a session of its own, so that a Ctrl-C in psql does not reach it. The arguments are options of
# the emulator.
# shellcheck disable=SC2120
start_emulator() {
    local patience=300

    "${as_user[@]}" setsid tree/emulator/chpg-emulator \
        --port 0 --port-file "$work/emulator.port" --parent $$ "$@" >log/emulator.log 2>&1 &
    emulator_pid=$!
    until [ -s emulator.port ]; do
        if ! kill -0 "$emulator_pid" 2>/dev/null || [ $((patience -= 1)) -eq 0 ]; then
            cat log/emulator.log >&2
            die "the emulator does not start"
        fi
        sleep 0.1
    done
    export CHPG_EMULATOR_URL
    CHPG_EMULATOR_URL=http://127.0.0.1:$(<emulator.port)
}
