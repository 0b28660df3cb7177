# shellcheck shell=bash
# shellcheck disable=SC2154   # variables of run and contestants.sh
# j. The five slowest patterns of a fleet, 100 ms away: against a script of curl and jq that reads one
# service after the other, and one that reads eight at a time, as chpg does. Then once more, and under
# the API's limit of 10 requests in 10 s.

J_SERVICES=24

point_j() {
    local round contestant

    j_reset null
    tree/emulator/ctl fault '{"latency_ms": 100}' >/dev/null
    add_server slowest "$CHPG_EMULATOR_URL" unlimited
    for ((round = 0; round < rounds; round++)); do
        for contestant in $(rotated "$round" chpg curl parallel); do
            measure "j.$contestant" j_ms "j_$contestant" slowest
        done
    done
    compare j "$J_SERVICES services, chpg / curl, jq" ms j.chpg j.curl 0.33
    compare j "$J_SERVICES services, chpg / curl --parallel, jq" ms j.chpg j.parallel 1.1
    equal_text j "the five patterns of chpg and curl, jq" "$(j_chpg slowest)" "$(j_curl)"

    j_requests chpg $((J_SERVICES + 1))
    j_requests curl $((J_SERVICES + 1))
    # Within chpg.cache_ttl, in another session
    PGOPTIONS='-c chpg.cache_ttl=10s' j_chpg slowest >/dev/null
    PGOPTIONS='-c chpg.cache_ttl=10s' j_requests chpg 0 " again"

    j_reset '"10/10s"'
    add_server slowest_limited "$CHPG_EMULATOR_URL" 10/10s
    j_refused chpg slowest_limited 0
    j_reset '"10/10s"'
    j_refused parallel slowest_limited ''
}

j_reset() {
    tree/emulator/ctl reset "{\"services\": $J_SERVICES, \"rate_limit\": $1}" >/dev/null
}

j_ms() {
    local start=$EPOCHREALTIME
    "$@" >/dev/null
    awk -v start="$start" -v end="$EPOCHREALTIME" 'BEGIN { printf "%.1f\n", (end - start) * 1000 }'
}

# j_chpg SERVER
j_chpg() {
    psql -q -At -F ' ' -v ON_ERROR_STOP=1 -f - <<END
SET client_min_messages = warning;
SELECT service_id, query_id, round(p99_duration_us)
FROM chpg_slow_patterns('$FROM', '$TO', sort_by => 'p99_duration', max_rows => 5, server => '$1')
ORDER BY p99_duration_us DESC LIMIT 5;
END
}

j_curl() {
    local id
    for id in $(j_ids); do
        curl -s -u "$KEY" "$(j_url "$id")" | jq -c --arg id "$id" '.result[]? + {id: $id}'
    done | j_top
}

# Answers arrive in any order; the file's name is the service.
j_parallel() {
    local directory id
    directory=$("${as_user[@]}" mktemp -d "$work/j.XXXXXX")
    for id in $(j_ids); do
        printf 'url = "%s"\noutput = "%s"\n' "$(j_url "$id")" "$directory/$id"
    done | "${as_user[@]}" curl -s -u "$KEY" --parallel --parallel-max 8 -K - 2>/dev/null
    jq -c '.result[]? + {id: (input_filename | split("/") | last)}' "$directory"/* | j_top
}

j_ids() { curl -s -u "$KEY" "$(services_url "$CHPG_EMULATOR_URL")" | jq -r '.result[].id'; }

j_url() {
    echo "$(services_url "$CHPG_EMULATOR_URL")/$1/slowQueryPatterns?from_date=$FROM&to_date=$TO&sort_by=p99_duration&limit=5"
}

j_top() {
    jq -s -r 'sort_by(-(.p99DurationUs | tonumber))[:5][]
        | "\(.id) \(.queryId) \(.p99DurationUs | tonumber | round)"'
}

# j_requests CONTESTANT MOST [WHEN]
j_requests() {
    tree/emulator/ctl clear >/dev/null
    "j_$1" slowest >/dev/null
    expect j "requests of $1${3:-}" "$(tree/emulator/ctl count)" "$2"
}

# j_refused CONTESTANT SERVER MOST: answers of 429, whose rows a script lacks without noticing
j_refused() {
    local contestant=$1 most=$3 refused
    "j_$contestant" "$2" >/dev/null
    refused=$(tree/emulator/ctl journal | jq '[.requests[] | select(.status == 429)] | length')
    if [ -n "$most" ]; then
        expect j "limit 10/10s, answers of 429 to $contestant" "$refused" "$most"
    else
        line j "limit 10/10s, answers of 429 to $contestant" "$refused" - - - "" ""
    fi
}
