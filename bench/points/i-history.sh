# shellcheck shell=bash
# shellcheck disable=SC2154   # variables of run and contestants.sh
# i. A year of hourly history of 20 services with 200 patterns each: its size, what it takes to capture
# an hour of it, and how long its views take to answer what dashboards ask.

I_SERVICES=20
I_PATTERNS=200
I_CAPTURES=20
: "${I_DAYS:=365}"    # fewer make it a rehearsal

point_i() {
    local rows size query

    tree/emulator/ctl reset "{\"services\": $I_SERVICES, \"patterns\": $I_PATTERNS}"
    add_server history "$CHPG_EMULATOR_URL" unlimited
    i_make_history
    rows=$(psql -q -At -c 'SELECT count(*) FROM kept.pattern')
    size=$(psql -q -At -c "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relnamespace = 'kept'::regnamespace AND relkind = 'r'")
    line i "$I_DAYS days, size of $rows rows of patterns" \
        "$(awk -v size="$size" 'BEGIN { printf "%.2f", size / 1073741824 }') GB" - - - "" ""
    line i "bytes of each, with its indexes" "$((size / rows)) B" - - - "" ""
    expect i "capturing an hour of a service, without the API's delays" "$(i_capture)" 250 ms
    for query in hour_of_service day_of_service month_of_fleet top_of_week errors_of_week \
        gaps_of_week patterns_of_day year_of_service cpu_of_day; do
        expect i "view: ${query//_/ }" "$(i_query "$query")" 1000 ms
    done
}

# The patterns of one service, many times over: like captures of an API that tells the same.
i_make_history() {
    psql -q -v ON_ERROR_STOP=1 -v days="$I_DAYS" <<'END'
SELECT chpg_history_enable('kept') \g /dev/null
SET search_path = kept, public;
SELECT _chpg_capture_services('history') \g /dev/null
SET search_path = kept, public;
UPDATE service SET noted_at = now() - :days * interval '1 day';
CREATE TEMPORARY TABLE sample AS
SELECT s.service_id, p.* FROM service s, LATERAL (
    SELECT service_id AS of, query_id, query_text, db_name, db_user, db_operation, app, call_count, error_count,
        total_duration_us, avg_duration_us, max_duration_us, p50_duration_us, p95_duration_us, p99_duration_us,
        total_rows, total_shared_blks_read, total_shared_blks_hit, total_cpu_time_us, total_wal_bytes
    FROM chpg_slow_patterns(now() - interval '1 hour', now(), s.service_id, server => 'history')) p;
INSERT INTO query_text SELECT DISTINCT hashtextextended(query_text, 0), query_text, now(), now() FROM sample;
INSERT INTO pattern_key (query_id, db_name, db_user, db_operation, app, text_id)
SELECT DISTINCT query_id, db_name, db_user, db_operation, coalesce(app, ''), hashtextextended(query_text, 0) FROM sample;
CREATE TEMPORARY TABLE hours AS
SELECT h AS window_start FROM generate_series(date_trunc('hour', now()) - :days * interval '1 day',
    date_trunc('hour', now()) - interval '1 hour', interval '1 hour') h;
SET search_path = pg_catalog, kept, public;
SELECT _chpg_history_partition('hour', m) FROM generate_series(date_trunc('month', now() - :days * interval '1 day'), now(), interval '1 month') m \g /dev/null
INSERT INTO capture SELECT s.service_id, 'hour', h.window_start, h.window_start + interval '1 hour', 'ok', 200, false, NULL, NULL, 1, now()
FROM hours h, service s;
INSERT INTO pattern
SELECT s.service_id, 'hour', h.window_start, k.pattern_key, s.call_count, s.error_count, s.total_duration_us, s.avg_duration_us,
    s.max_duration_us, s.p50_duration_us, s.p95_duration_us, s.p99_duration_us, s.total_rows,
    s.total_shared_blks_read, s.total_shared_blks_hit, s.total_cpu_time_us, s.total_wal_bytes
FROM sample s
JOIN pattern_key k ON (k.query_id, k.db_name, k.db_user, k.db_operation, k.app, k.text_id) =
    (s.query_id, s.db_name, s.db_user, s.db_operation, coalesce(s.app, ''), hashtextextended(s.query_text, 0))
CROSS JOIN hours h
ORDER BY h.window_start, s.service_id, k.pattern_key;
-- a day is like 24 hours
INSERT INTO capture SELECT service_id, 'day', window_start, window_start + interval '1 day', 'ok', 200, false, NULL, NULL, 1, now()
FROM capture WHERE extract(hour FROM window_start AT TIME ZONE 'UTC') = 0;
SELECT _chpg_history_partition('day', m) FROM generate_series(date_trunc('month', now() - :days * interval '1 day'), now(), interval '1 month') m \g /dev/null
INSERT INTO pattern
SELECT service_id, 'day', window_start, pattern_key, 24 * call_count, 24 * error_count, 24 * total_duration_us, avg_duration_us,
    max_duration_us, p50_duration_us, p95_duration_us, p99_duration_us, 24 * total_rows,
    24 * total_shared_blks_read, 24 * total_shared_blks_hit, 24 * total_cpu_time_us, 24 * total_wal_bytes
FROM pattern WHERE grain = 'hour' AND extract(hour FROM window_start AT TIME ZONE 'UTC') = 0;
-- metrics are kept as long as hours are: 35 days
INSERT INTO metric_point
SELECT s.service_id, m.metric, '', t, '%', 50
FROM service s, (VALUES ('cpu_usage'), ('memory_usage'), ('disk_usage'), ('connection_count'), ('disk_io')) m(metric),
    generate_series(now() - least(:days, 35) * interval '1 day', now(), interval '5 minutes') t;
VACUUM ANALYZE;
END
}

# Milliseconds for a window, the emulator's own time included
i_capture() {
    psql -q -At -v ON_ERROR_STOP=1 <<END | sed -n '$p'
SELECT clock_timestamp() AS began \gset
SELECT count(_chpg_capture_window(service_id, 'hour', date_trunc('hour', now()) - n * interval '1 hour',
    date_trunc('hour', now()) - (n - 1) * interval '1 hour', 'history'))
FROM generate_series(1, $I_CAPTURES) n, (SELECT service_id FROM kept.service LIMIT 1) s \g /dev/null
SELECT round(extract(epoch FROM clock_timestamp() - :'began') * 1000 / $I_CAPTURES);
END
}

i_statement() {
    case $1 in
        hour_of_service) echo "SELECT * FROM kept.pattern_hour WHERE service_name = 'orders' AND \"time\" = date_trunc('hour', now()) - interval '1 hour'" ;;
        day_of_service) echo "SELECT \"time\", calls_per_s, p95_lo_us, p95_hi_us, hit_ratio FROM kept.service_hour WHERE service_name = 'orders' AND \"time\" >= now() - interval '1 day'" ;;
        month_of_fleet) echo "SELECT date_trunc('day', \"time\"), service_name, count(*), count(*) FILTER (WHERE status <> 'ok') FROM kept.coverage WHERE \"time\" >= now() - interval '30 days' GROUP BY 1, 2" ;;
        top_of_week) echo "SELECT query_hex, min(query), sum(total_duration_us), min(p95_duration_us), max(p95_duration_us) FROM kept.pattern_hour WHERE service_name = 'orders' AND \"time\" >= now() - interval '7 days' GROUP BY 1 ORDER BY 3 DESC LIMIT 20" ;;
        errors_of_week) echo "SELECT * FROM kept.error_hour WHERE service_name = 'orders' AND \"time\" >= now() - interval '7 days'" ;;
        patterns_of_day) echo "SELECT query_hex, query, call_count, p95_duration_us FROM kept.pattern_day WHERE service_name = 'orders' AND \"time\" >= now() - interval '2 days' ORDER BY total_duration_us DESC" ;;
        year_of_service) echo "SELECT \"time\", active_executions, error_count FROM kept.service_day WHERE service_name = 'orders' ORDER BY 1" ;;
        cpu_of_day) echo "SELECT \"time\", service_name, value FROM kept.metric WHERE metric = 'cpu_usage' AND \"time\" >= now() - interval '1 day' ORDER BY 1" ;;
        gaps_of_week) echo "SELECT * FROM kept.coverage WHERE status <> 'ok' AND \"time\" >= now() - interval '7 days'" ;;
    esac
}

# The median of five
i_query() {
    local i
    for ((i = 0; i < 5; i++)); do
        psql -q -At -v ON_ERROR_STOP=1 <<END
SELECT clock_timestamp() AS began \gset
$(i_statement "$1") \g /dev/null
SELECT 'took', round(extract(epoch FROM clock_timestamp() - :'began') * 1000);
END
    done | sed -n 's/^took|//p' | sort -g | sed -n 3p
}
