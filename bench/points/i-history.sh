# shellcheck shell=bash
# shellcheck disable=SC2154   # variables of run and contestants.sh
# i. A month of 50 services with 200 patterns each, as captures in real order leave it: what it takes on disk,
# and how long dashboards, comparison and findings take. Beside I_BEFORE, a revision that had a row of 17 columns for
# each pattern and window; I_BEFORE= leaves that out. Dashboards have other panels since then.

: "${I_BEFORE=223d2a0}"
: "${I_DAYS:=30}"    # fewer make it a rehearsal
: "${I_ROUNDS:=3}"
I_END=2026-05-17T00:00:00Z

point_i() {
    local version versions=(now)

    tree/emulator/ctl reset '{"services": 1, "patterns": 200}'
    if [ -n "$I_BEFORE" ]; then
        install_before "$I_BEFORE"
        versions+=(before)
    fi
    for version in "${versions[@]}"; do
        make_history "month_$version" 50 200 "$I_DAYS"
        make_history "fleet_$version" 300 200 2
        i_make_captures "captures_$version"
    done
    make_history spread_now 50 0 12

    i_sizes
    i_metrics "${versions[@]}"
    i_take "one window captured" 30 i_capture captures
    i_take "top 50 of a week, by function" 600 milliseconds month "$(insight top)"
    i_panels
    i_take_now "a pattern's month, by function" 50 milliseconds month \
        "SELECT * FROM chpg_pattern_course(:'id', :'query', '[2026-04-17 00:00Z,2026-05-17 00:00Z)')"
    i_take "a pattern's month, by view" 200 milliseconds month \
        "SELECT * FROM kept.pattern_hour WHERE service_id = :'id' AND query_id = :'query'"
    i_take "compare one" 150 milliseconds month "$(insight compare_one)"
    i_take "compare fleet" 2000 milliseconds month "$(insight compare_fleet)"
    i_take "findings one" 300 milliseconds month "$(insight findings_one)"
    i_take "findings fleet" 4000 milliseconds month "$(insight findings_fleet)"
    i_take "findings 300 services" 25000 milliseconds fleet "$(insight findings_fleet)"
}

# i_take WHAT MOST COMMAND DATABASE ARGUMENT...: the milliseconds that the command says of DATABASE_VERSION
i_take() {
    local what=$1 most=$2 command=$3 database=$4 name=i.${1//[^a-z0-9]/_} round version
    shift 4
    for ((round = 0; round < I_ROUNDS; round++)); do
        for version in $(rotated "$round" "${versions[@]}"); do
            measure "$name.$version" "$command" "${database}_$version" "$@"
        done
    done
    beside i "$what" "$name" ms "$most" "$I_BEFORE"
}

# The same where there was nothing like it before
i_take_now() {
    local versions=(now)
    i_take "$@"
}

i_sizes() {
    i_size month_now "open" "SELECT pg_total_relation_size('kept.open_hour') / count(*)::numeric FROM kept.open_hour"
    [ -z "$I_BEFORE" ] || i_size month_before open "SELECT (SELECT sum(pg_total_relation_size(t.relid))
        FROM pg_partition_tree('kept.pattern') t) / count(*) FROM kept.pattern"
    beside i "bytes of a pattern and hour, open" i.open B 150 "$I_BEFORE"
    for name in month spread; do
        i_size "${name}_now" "$name" "SELECT (SELECT sum(pg_total_relation_size(t.relid))
            FROM pg_partition_tree('kept.sealed_hour') t) / sum(s.patterns)::numeric FROM kept.sealed_hour s"
    done
    beside i "  sealed, 200 patterns" i.month B 55
    beside i "  sealed, 3 to 500 patterns" i.spread B 70
    i_size month_now sums "SELECT pg_total_relation_size('kept.day_sum') / count(*)::numeric FROM kept.day_sum"
    line i "bytes of a pattern's sums of a day" "$(median i.sums.now) B" - - - "" ""
}

# i_size DATABASE NAME QUERY
i_size() {
    psql -q -At -d "$1" -c "SELECT round(($3), 1)" >>"$work/samples/i.$2.${1##*_}"
}

# 27 series with a point each 5 minutes, hour by hour with an hour's overlap, vacuumed as often as autovacuum does
i_metrics() {
    local version
    for version in "$@"; do
        psql -q -v ON_ERROR_STOP=1 -d "captures_$version" <<'SQL'
TRUNCATE kept.capture;
CREATE PROCEDURE public.points(from_time timestamptz, to_time timestamptz)
LANGUAGE plpgsql
AS $$
DECLARE
    at timestamptz;
BEGIN
    SET LOCAL search_path = pg_catalog, kept, public, pg_temp;
    FOR at IN SELECT generate_series(from_time, to_time - interval '1 hour', '1 hour') LOOP
        PERFORM public._chpg_note_window(s.service_id, 'hour', at, at + interval '1 hour', '{}', NULL, ARRAY(
            SELECT ROW(s.service_id, NULL, 'metric_' || m, NULL, '%', NULL, 'series_' || n, t,
                50 + 30 * sin(m + extract(epoch FROM t) / 40000) + hashint8(extract(epoch FROM t)::bigint * m * n) % 1000 / 300.0
                )::public.chpg_metric_row
            FROM generate_series(1, 9) m, generate_series(1, 3) n,
                generate_series(at - interval '1 hour', at + interval '55 minutes', '5 minutes') t), NULL)
        FROM (VALUES ('pg000000000000000000000001'), ('pg000000000000000000000002')) s(service_id);
    END LOOP;
END
$$;
SQL
        i_collect "captures_$version" '2026-04-01 00:00Z' '2026-04-02 00:00Z'
        i_points "captures_$version" open
        i_collect "captures_$version" '2026-04-02 00:00Z' '2026-05-01 00:00Z'
        i_points "captures_$version" closed
    done
    beside i "bytes of a metric's point, closed days" i.closed_points B 8 "$I_BEFORE"
    beside i "  the open day" i.open_points B 40 "$I_BEFORE"
}

# i_collect DATABASE FROM TO: vacuums each 6 hours
i_collect() {
    psql -q -At -v ON_ERROR_STOP=1 -v start="$2" -v end="$3" -d "$1" <<'SQL'
SELECT format('CALL public.points(%L, %L)', t, t + interval '6 hours'),
    CASE WHEN to_regclass('kept.metric_day') IS NOT NULL THEN 'VACUUM kept.metric_day' END
FROM generate_series(:'start', timestamptz :'end' - interval '1 hour', '6 hours') t \gexec
SQL
}

# i_points DATABASE NAME
i_points() {
    i_size "$1" "$2_points" "SELECT pg_total_relation_size(coalesce(to_regclass('kept.metric_day'), to_regclass('kept.metric_point')))
        / (SELECT count(*) FROM kept.metric)::numeric"
}

# The CPU time of the slowest query of all dashboards over all services, in ranges of 24 hours, 7 and 30 days, by a
# role that reads
i_panels() {
    local days milliseconds title
    psql -q -d month_now -f tree/bench/metrics.sql
    PGDATABASE=month_now PGUSER=panels tree/bench/panels "$I_END" >"$work/log/panels.log"
    for days in 1 7 30; do
        read -r _ milliseconds title < <(grep "^$days " "$work/log/panels.log" | sort -k 2 -g -r)
        expect i "panels, $days days: ${title:0:27}" "$milliseconds" 500 ms
    done
}

# What the API says of the emulator's service, as if it said so of 20 hours
i_make_captures() {
    local database=$1
    history_database "$database"
    PGDATABASE=$database add_server history "$CHPG_EMULATOR_URL" unlimited
    psql -q -v ON_ERROR_STOP=1 -d "$database" <<'SQL'
SELECT chpg_history_enable('kept') \g /dev/null
SELECT _chpg_capture_services('history') \g /dev/null
CREATE TABLE public.captured AS
SELECT s.service_id, h AS window_start, p.patterns, m.points
FROM kept.service s
CROSS JOIN LATERAL (
    SELECT array_agg(p) AS patterns
    FROM chpg_slow_patterns(now() - interval '1 hour', now(), s.service_id, server => 'history') p) p
CROSS JOIN generate_series(date_trunc('hour', now()) - interval '20 hours', now() - interval '1 hour', '1 hour') h
CROSS JOIN LATERAL (
    SELECT array_agg(m) AS points
    FROM chpg_metrics(h - interval '1 hour', h + interval '1 hour', s.service_id, '5 minutes', 'history') m) m;
SQL
}

# Milliseconds to write a window, without those of the API: i_capture DATABASE
i_capture() {
    psql -q -At -v ON_ERROR_STOP=1 -d "$1" <<'SQL' | sed -n 's/^took|//p'
SET search_path = pg_catalog, kept, public, pg_temp;
TRUNCATE kept.capture;
DO $$ BEGIN EXECUTE format('TRUNCATE %s', CASE WHEN to_regclass('kept.pattern') IS NULL
    THEN 'kept.open_hour, kept.day_sum, kept.metric_day' ELSE 'kept.pattern, kept.metric_point' END); END $$;
SELECT CASE WHEN to_regclass('kept.pattern') IS NOT NULL THEN format('SELECT _chpg_history_partition(%L, %L)', 'hour', t) END
FROM (SELECT DISTINCT date_trunc('month', window_start) AS t FROM captured) c \gexec
SELECT count(_chpg_note_window(service_id, 'hour', window_start, window_start + interval '1 hour', patterns, NULL, points, NULL))
FROM (SELECT * FROM captured ORDER BY window_start LIMIT 5) c \g /dev/null
SELECT clock_timestamp() AS began \gset
SELECT count(_chpg_note_window(service_id, 'hour', window_start, window_start + interval '1 hour', patterns, NULL, points, NULL))
FROM (SELECT * FROM captured ORDER BY window_start OFFSET 5) c \g /dev/null
SELECT 'took', round(extract(epoch FROM clock_timestamp() - :'began') * 1000 / 15, 1);
SQL
}
