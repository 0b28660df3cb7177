# shellcheck shell=bash
# shellcheck disable=SC2154   # variables of run and contestants.sh
# c. Under the limits of 10 requests in any 10 s and of 40 in a fixed window of 10 s, which the emulator
# enforces and the headers of its responses describe: how much longer than a sliding log makes it.
# Minutes, and so but once.

C_FLEETS=(39 119)
C_BACKENDS=4
C_CALLS=30    # of each backend
c_keys=0

point_c() {
    local services
    for services in "${C_FLEETS[@]}"; do
        c_both "$services" $((services + 1)) "fleet of $services" c_fleet
    done
    c_both "${C_FLEETS[0]}" $((C_BACKENDS * C_CALLS)) "$C_BACKENDS backends, $((C_BACKENDS * C_CALLS)) requests" \
        c_backends
}

# c_both SERVICES REQUESTS WHAT COMMAND: under both limits, with a new key for each
c_both() {
    local limit key
    for limit in 10 40; do
        key=limited_$((++c_keys))
        tree/emulator/ctl reset "{\"services\": $1, \"patterns\": 10, \"rate_limit\": \"$limit/10s\",
            \"rate_window\": \"$([ "$limit" = 10 ] && echo sliding || echo fixed)\",
            \"rate_headers\": \"$limit/10s\", \"keys\": {\"$key\": \"demoKeySecret\"}}"
        add_server "$key" "$CHPG_EMULATOR_URL" auto "$key"
        c_measure "$key" "$limit" "$2" "$3, limit $limit" "$4" "$key"
    done
}

# c_measure NAME LIMIT REQUESTS WHAT COMMAND...
c_measure() {
    local name=$1 limit=$2 requests=$3 what=$4 journal=$work/journal.$1
    local least=$((((requests + limit - 1) / limit - 1) * 10))
    shift 4

    tree/emulator/ctl clear
    measure "c.$name" c_seconds "$@"
    tree/emulator/ctl journal >"$journal"
    if [ "$least" -gt 0 ]; then
        measure "c.$name.least" echo "$least"
        compare c "$what / the least" s "c.$name" "c.$name.least" 1.05
    else
        expect c "$what: one window" "$(cat "$work/samples/c.$name")" 10 s
    fi
    expect c "$what: requests" "$(jq '.requests | length' "$journal")" "$requests"
    expect c "$what: answers with 429" \
        "$(jq '[.requests[] | select(.status == 429)] | length' "$journal")" 0
    expect c "$what: arrivals in any 10 s" "$(c_densest "$journal")" "$limit"
}

c_seconds() {
    local start=$EPOCHREALTIME
    "$@" >"$work/log/c.log"
    awk -v start="$start" -v end="$EPOCHREALTIME" 'BEGIN { printf "%.3f\n", end - start }'
}

c_densest() {
    jq '[.requests[].at] | sort | . as $at
        | [range(length) as $i | [$at[$i:][] | select(. < $at[$i] + 10)] | length] | max // 0' "$1"
}

# c_fleet SERVER
c_fleet() {
    {
        echo "SET chpg.max_wait = '10min'; SET client_min_messages = warning;"
        counting "$(chpg_fleet "$1")"
    } | psql -q -At -v ON_ERROR_STOP=1 -f -
}

# c_backends SERVER
c_backends() {
    local i pids=() ids pid

    mapfile -t ids < <(tree/emulator/ctl info | jq -r '.services[].id')
    for ((i = 0; i < C_BACKENDS; i++)); do
        c_backend "$1" "$i" &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid"; done
}

# c_backend SERVER NUMBER: no backend asks what another does
c_backend() {
    local call
    {
        echo "SET chpg.max_wait = '10min'; SET client_min_messages = warning;"
        for ((call = 1; call <= C_CALLS; call++)); do
            counting "$(chpg_page "$1" "${ids[call]}" $(($2 + 1)))"
        done
    } | psql -q -At -v ON_ERROR_STOP=1 -f -
}
