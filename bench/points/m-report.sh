# shellcheck shell=bash
# shellcheck disable=SC2154   # variables of run and histories.sh
# m. Reports over a week of 50 services with 200 patterns each, and of one of them: how long they take, with findings
# that are judged anew and with those of the log, and how large they are.

point_m() {
    local round what service

    make_history report_now 50 200 15
    # Captures have scored their windows; the first watch does so here, and its log is removed.
    m_watch
    psql -q -d report_now -c 'DELETE FROM kept.finding_log; DELETE FROM kept.watch_state'
    for ((round = 0; round < rounds; round++)); do
        measure m.judged m_report chpg_report NULL
    done
    m_watch
    service=$(psql -q -At -d report_now -c "SELECT quote_literal(min(service_id)) FROM kept.service")
    for ((round = 0; round < rounds; round++)); do
        for what in chpg_report chpg_report_text; do
            measure "m.$what" m_report "$what" NULL
        done
        measure m.one m_report chpg_report "$service"
    done
    expect m "report of 50, judged anew" "$(median m.judged)" 10000 ms
    expect m "report of 50, from the log" "$(median m.chpg_report)" 5000 ms
    expect m "the same as text" "$(median m.chpg_report_text)" 5000 ms
    expect m "report of one" "$(median m.one)" 1000 ms
    expect m "size of the report of 50" "$(m_size NULL)" 1000000 B
    expect m "size of the report of one" "$(m_size "$service")" 100000 B
}

# m_report FUNCTION SERVICE: milliseconds
m_report() {
    milliseconds report_now "SELECT $1('[2026-05-10 00:00Z,2026-05-17 00:00Z)', $2)"
}

# A watch at the end of the week
m_watch() {
    psql -q -d report_now -c "SELECT _chpg_watch('2026-05-17 00:00Z', NULL::text, NULL::text)" >/dev/null
}

m_size() {
    psql -q -At -d report_now -c "SELECT octet_length(chpg_report('[2026-05-10 00:00Z,2026-05-17 00:00Z)', $1))"
}
