# shellcheck shell=bash
# shellcheck disable=SC2154   # variables of run and contestants.sh
# k. A week of 50 services with 200 patterns each: comparison and findings of its last day, of one service
# and of all, and the patterns that took most time. With K_BEFORE, a revision whose library calls the same
# SQL functions, the same in its SQL.

K_SERVICES=50
K_PATTERNS=200
K_DAY='[2026-05-16 00:00Z,2026-05-17 00:00Z)'
K_DAY_BEFORE='[2026-05-15 00:00Z,2026-05-16 00:00Z)'
K_WEEK='[2026-05-10 00:00Z,2026-05-17 00:00Z)'
: "${K_BEFORE:=}"

point_k() {
    local round what versions=(now)

    [ -z "$K_BEFORE" ] || versions+=(before)
    k_make_history "${versions[@]}"
    for ((round = 0; round < rounds; round++)); do
        for what in compare_one compare_fleet findings_one findings_fleet top; do
            for version in $(rotated "$round" "${versions[@]}"); do
                measure "k.$what.$version" k_milliseconds "$version" "$what"
            done
        done
    done
    k_line compare_one 150
    k_line compare_fleet 2000
    k_line findings_one 300
    k_line findings_fleet 4000
    k_line top 2000
}

# k_line WHAT MOST: the median in milliseconds, and the ratio to before, if that was measured
k_line() {
    local median
    median=$(sort -g "$work/samples/k.$1.now" | sed -n "$(((rounds + 1) / 2))p")
    expect k "${1//_/ }" "$median" "$2" ms
    [ -z "$K_BEFORE" ] || compare k "${1//_/ }, beside $K_BEFORE" ms "k.$1.now" "k.$1.before"
}

# Databases insight_now, and insight_before, with the same rows
k_make_history() {
    local version extension

    if [ -n "$K_BEFORE" ]; then
        extension=$("$bindir/pg_config" --sharedir)/extension
        git -C "$top" show "$K_BEFORE:Makefile" | sed -n '/^SQL_FILES/,/^$/ s,^\t\(sql/[^ ]*\).*,\1,p' |
            while read -r file; do git -C "$top" show "$K_BEFORE:$file"; done |
            "${as_user[@]}" tee "$extension/chpg--before.sql" >/dev/null
    fi
    for version in "$@"; do
        psql -q -c "CREATE DATABASE insight_$version"
        psql -q -v ON_ERROR_STOP=1 -v services="$K_SERVICES" -v patterns="$K_PATTERNS" -d "insight_$version" \
            -c "CREATE EXTENSION chpg $([ "$version" = now ] || echo 'VERSION before')" -f - <<'SQL'
SELECT chpg_history_enable('kept') \g /dev/null
SELECT setseed(0.5) \g /dev/null
DO $$ BEGIN
    SET LOCAL search_path = pg_catalog, kept, public;
    PERFORM public._chpg_history_partition('hour', timestamptz '2026-05-10 00:00Z');
END $$;
INSERT INTO kept.service (service_id, valid_from, noted_at, service_name)
SELECT 'pg' || left(md5('s' || i) || md5('t' || i), 24), '-infinity', '2026-05-01 00:00Z', 'service-' || i
FROM generate_series(1, :services) i;
INSERT INTO kept.query_text
SELECT hashtextextended(x, 0), x, '2026-05-10 00:00Z', '2026-05-17 00:00Z'
FROM (SELECT 'SELECT ' || i || ' ' || repeat(md5(i::text) || ' ', 8) AS x
    FROM generate_series(1, :services * :patterns) i) t;
INSERT INTO kept.pattern_key (query_id, db_name, db_user, db_operation, app, text_id)
SELECT hashtextextended(t.query_text, 1), 'orders', 'app' || row_number() OVER () % 3,
    ('{SELECT,UPDATE,INSERT,DELETE}'::text[])[1 + row_number() OVER () % 4], 'web-' || row_number() OVER () % 5, t.text_id
FROM kept.query_text t;
INSERT INTO kept.capture
SELECT s.service_id, 'hour', h, h + interval '1 hour', 'ok', :patterns, false, NULL, NULL, 1, now()
FROM kept.service s, generate_series(timestamptz '2026-05-10 00:00Z', '2026-05-16 23:00Z', '1 hour') h;
-- one pattern of twenty is three times as slow on the last day
INSERT INTO kept.pattern
SELECT s.service_id, 'hour', h, k.pattern_key, n, (random() < 0.02)::integer, n * a, a, a * 10, a * 0.6,
    a * 2.5 * (0.9 + random() * 0.2), a * 4, n * 3, (n * 2 * random())::bigint, n * 20, n * a * 0.5, n * 100
FROM generate_series(timestamptz '2026-05-10 00:00Z', '2026-05-16 23:00Z', '1 hour') h
CROSS JOIN (SELECT service_id, row_number() OVER (ORDER BY service_id) - 1 AS place FROM kept.service) s
JOIN kept.pattern_key k ON k.pattern_key > s.place * :patterns AND k.pattern_key <= (s.place + 1) * :patterns
CROSS JOIN LATERAL (
    SELECT (3 + 3000 * power(random(), 2) / (1 + k.pattern_key % 10))::bigint AS n,
        500.0 * (1 + k.pattern_key % 37) * exp(random() - 0.5)
            * CASE WHEN k.pattern_key % 20 = 0 AND h >= '2026-05-16 00:00Z' THEN 3 ELSE 1 END AS a) v
ORDER BY h, s.service_id, k.pattern_key;
VACUUM ANALYZE;
SQL
    done
}

# Milliseconds of a call, in a session that has called the function before: k_milliseconds VERSION WHAT
k_milliseconds() {
    local call
    case $2 in
        compare_one) call="chpg_compare('$K_DAY_BEFORE', '$K_DAY', :'id')" ;;
        compare_fleet) call="chpg_compare('$K_DAY_BEFORE', '$K_DAY')" ;;
        findings_one) call="chpg_findings('$K_DAY', :'id', history_only => true)" ;;
        findings_fleet) call="chpg_findings('$K_DAY', history_only => true)" ;;
        top)
            call="chpg_history_top('$K_WEEK', NULL, 50)"
            # what a dashboard's panel would have to ask instead
            [ "$1" = now ] || call="(SELECT service_id, query_hex, db_user, app, min(query_text), sum(call_count),
                sum(total_duration_us) FROM kept.pattern_hour WHERE \"time\" >= lower('$K_WEEK'::tstzrange)
                AND \"time\" < upper('$K_WEEK'::tstzrange) GROUP BY 1, 2, 3, 4 ORDER BY 7 DESC LIMIT 50) AS panel"
            ;;
    esac
    psql -q -At -v ON_ERROR_STOP=1 -d "insight_$1" <<END | sed -n 's/^took|//p'
SELECT min(service_id) AS id FROM kept.service \gset
SELECT count(*) FROM chpg_period_patterns('[2026-05-15 00:00Z,2026-05-15 01:00Z)', :'id') \g /dev/null
SELECT clock_timestamp() AS began \gset
SELECT count(*) FROM $call \g /dev/null
SELECT 'took', round(extract(epoch FROM clock_timestamp() - :'began') * 1000);
END
}
