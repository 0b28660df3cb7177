# shellcheck shell=bash
# shellcheck disable=SC2154   # variables of run and contestants.sh
# c. Under the API's limit of 10 requests in 10 s, which the emulator enforces: how much longer than
# the limit itself makes it. Minutes, and so but once.

C_SERVICES=40
C_BACKENDS=4
C_CALLS=30    # of each backend

point_c() {
    tree/emulator/ctl reset "{\"services\": $C_SERVICES, \"patterns\": 10, \"rate_limit\": \"10/10s\",
        \"keys\": {\"fleetKey\": \"demoKeySecret\", \"sharedKey\": \"demoKeySecret\"}}"
    add_server limited_fleet "$CHPG_EMULATOR_URL" 10/10s fleetKey
    add_server limited_shared "$CHPG_EMULATOR_URL" 10/10s sharedKey

    c_measure fleet $((C_SERVICES + 1)) "a fleet of $C_SERVICES services" c_fleet
    c_measure shared $((C_BACKENDS * C_CALLS)) "$C_BACKENDS backends, $((C_BACKENDS * C_CALLS)) requests" \
        c_backends
}

# c_measure NAME REQUESTS WHAT COMMAND...
c_measure() {
    local name=$1 requests=$2 what=$3 journal=$work/journal.$1
    shift 3

    tree/emulator/ctl clear
    measure "c.$name" c_seconds "$@"
    measure "c.$name.least" echo $(((requests + 9) / 10 * 10 - 10))
    tree/emulator/ctl journal >"$journal"
    compare c "$what / the least" s "c.$name" "c.$name.least" 1.05
    expect c "$what: requests" "$(jq '.requests | length' "$journal")" "$requests"
    expect c "$what: answers with 429" \
        "$(jq '[.requests[] | select(.status == 429)] | length' "$journal")" 0
    expect c "$what: arrivals in any 10 s" "$(c_densest "$journal")" 10
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

c_fleet() {
    {
        echo "SET chpg.max_wait = '10min'; SET client_min_messages = warning;"
        counting "$(chpg_fleet limited_fleet)"
    } | psql -q -At -v ON_ERROR_STOP=1 -f -
}

c_backends() {
    local i pids=() ids pid

    mapfile -t ids < <(tree/emulator/ctl info | jq -r '.services[].id')
    for ((i = 0; i < C_BACKENDS; i++)); do
        c_backend "$i" &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid"; done
}

# No backend asks what another does.
c_backend() {
    local call
    {
        echo "SET chpg.max_wait = '10min'; SET client_min_messages = warning;"
        for ((call = 1; call <= C_CALLS; call++)); do
            counting "$(chpg_page limited_shared "${ids[call]}" $(($1 + 1)))"
        done
    } | psql -q -At -v ON_ERROR_STOP=1 -f -
}
