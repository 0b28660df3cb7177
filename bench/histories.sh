# shellcheck shell=bash
# shellcheck disable=SC2154   # variables of run
# Histories to measure: of this tree, and of an earlier revision. Sourced by run.

# install_before REVISION: its SQL as the version "before" of the extension, over the library of this tree
install_before() {
    local extension version
    extension=$("$bindir/pg_config" --sharedir)/extension
    "${as_user[@]}" mkdir -p before
    git -C "$top" archive "$1" | "${as_user[@]}" tar -C before -xf -
    version=$(sed -n "s/^default_version *= *'\(.*\)'/\1/p" before/chpg.control)
    "${as_user[@]}" make -s -C before PG_CONFIG="$bindir/pg_config" "chpg--$version.sql"
    "${as_user[@]}" cp "before/chpg--$version.sql" "$extension/chpg--before.sql"
}

# history_database NAME: a database NAME_now or NAME_before with the extension
history_database() {
    psql -q -c "CREATE DATABASE $1"
    psql -q -d "$1" -c "CREATE EXTENSION chpg $([[ $1 != *_before ]] || echo 'VERSION before')"
}

# make_history NAME SERVICES PATTERNS DAYS: such a database with a history (see history.sql)
make_history() {
    say "making history $1: $2 services, $4 days"
    history_database "$1"
    psql -q -v services="$2" -v patterns="$3" -v days="$4" -d "$1" -f tree/bench/history.sql
}

# milliseconds DATABASE STATEMENT: in a session that has read the history before. :'id' is a service, :'query' a query
# of its.
milliseconds() {
    psql -q -At -v ON_ERROR_STOP=1 -d "$1" <<END | sed -n 's/^took|//p'
SELECT min(service_id) AS id FROM kept.service \gset
SELECT count(*) FROM chpg_period_patterns('[2026-05-15 00:00Z,2026-05-15 01:00Z)', :'id') \g /dev/null
SELECT min(query_id) AS query FROM kept.pattern_hour WHERE service_id = :'id' AND "time" = '2026-05-16 00:00Z' \gset
SELECT clock_timestamp() AS began \gset
$2 \g /dev/null
SELECT 'took', round(extract(epoch FROM clock_timestamp() - :'began') * 1000, 1);
END
}

# insight WHAT: a statement about the last day of such a history, or its last week
insight() {
    local day="'[2026-05-16 00:00Z,2026-05-17 00:00Z)'" before="'[2026-05-15 00:00Z,2026-05-16 00:00Z)'"
    case $1 in
        compare_one) echo "SELECT * FROM chpg_compare($before, $day, :'id')" ;;
        compare_fleet) echo "SELECT * FROM chpg_compare($before, $day)" ;;
        findings_one) echo "SELECT * FROM chpg_findings($day, :'id', history_only => true)" ;;
        findings_fleet) echo "SELECT * FROM chpg_findings($day, history_only => true)" ;;
        top) echo "SELECT * FROM chpg_history_top('[2026-05-10 00:00Z,2026-05-17 00:00Z)', NULL, 50)" ;;
    esac
}

# median NAME: of its samples
median() {
    sort -g "$work/samples/$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

# beside POINT WHAT NAME UNIT MOST [REVISION]: a line with the median of NAME.now, and its ratio to NAME.before
beside() {
    expect "$1" "$2" "$(median "$3.now")" "$5" "$4"
    [ ! -s "$work/samples/$3.before" ] || compare "$1" "  beside ${6:-before}" "$4" "$3.now" "$3.before"
}
