# shellcheck shell=bash
# shellcheck disable=SC2154   # variables of run and contestants.sh
# d. Eight backends ask the same at the same time, as a dashboard's panels do, and nobody has asked
# before. The answers take long enough for all to ask.

D_BACKENDS=8

point_d() {
    local round id

    tree/emulator/ctl reset '{}'
    tree/emulator/ctl fault '{"latency_ms": 300}' >/dev/null
    id=$(tree/emulator/ctl info | jq -r '.services[0].id')
    add_server dashboard "$CHPG_EMULATOR_URL" unlimited
    for ((round = 0; round < rounds; round++)); do
        measure d.page d_requests "$(chpg_page dashboard "$id")"
        measure d.page.least echo 1
        measure d.fleet d_requests "$(chpg_fleet dashboard)"
        measure d.fleet.least echo 7
    done
    compare d "$D_BACKENDS backends, a page: requests / the least" "" d.page d.page.least 1
    compare d "$D_BACKENDS backends, 6 services: requests / the least" "" d.fleet d.fleet.least 1
}

d_requests() {
    local start i pids=() pid

    psql -q -At -v ON_ERROR_STOP=1 -c 'SELECT chpg_cache_reset()' >>log/d.log
    tree/emulator/ctl clear
    start=$(date -u -d '+1 second' +%Y-%m-%dT%H:%M:%S.%NZ)
    for ((i = 0; i < D_BACKENDS; i++)); do
        {
            echo "SELECT pg_sleep(extract(epoch FROM timestamptz '$start' - clock_timestamp()));"
            counting "$1"
        } | PGOPTIONS='' psql -q -At -v ON_ERROR_STOP=1 -f - >>log/d.log &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid"; done
    tree/emulator/ctl count
}
