# shellcheck shell=bash
# shellcheck disable=SC2154   # variables of run and contestants.sh
# b. Fleets of growing size, far away, without a limit: against pgsql-http, which asks one service
# after the other, and against what eight requests at a time take at least.

point_b() {
    local latency services

    for latency in 20 100; do
        for services in 1 10 100 1000; do
            b_fleet
        done
        b_linear
    done
    [ "$peer" = no ] || fill "$(chpg_fleet fleet_100_20)" "$(peer_fleet "$replay/fleet.services-100")"
    equal b "rows of chpg and pgsql-http, 100 services"
}

b_fleet() {
    local fleet=fleet_${services}_$latency round times=$rounds contestants=(chpg) contestant
    local url="$replay/fleet.services-$services.latency-$latency.gzip"
    local peer_most='' ideal_most=''

    # A minute and more for one round
    [ "$services" -lt 1000 ] || times=1
    [ "$peer" = no ] || contestants+=(peer)
    add_server "$fleet" "$url" unlimited
    for ((round = 0; round < times; round++)); do
        for contestant in $(rotated "$round" "${contestants[@]}"); do
            measure "b.$fleet.$contestant" "b_$contestant"
        done
        measure "b.$fleet.ideal" echo $(((1 + (services + 7) / 8) * latency))
    done

    if [ "$services" -eq 100 ] && [ "$latency" -eq 100 ]; then
        peer_most=0.1667
        ideal_most=1.15
    fi
    compare b "$services services, $latency ms, chpg / pgsql-http" ms \
        "b.$fleet.chpg" "b.$fleet.peer" "$peer_most"
    compare b "$services services, $latency ms, chpg / ideal" ms \
        "b.$fleet.chpg" "b.$fleet.ideal" "$ideal_most"
}

# Both are warm: they have asked for a list before.
b_chpg() {
    {
        echo "SELECT count(*) FROM chpg_services('$fleet');"
        echo "$TIMED"
        counting "$(chpg_fleet "$fleet")"
    } | mean_ms
}

b_peer() {
    {
        echo "$PEER_SESSION"
        echo "SELECT count(*) FROM http_get('$(services_url "$url")');"
        echo "$TIMED"
        counting "$(peer_fleet "$url")"
    } | mean_ms
}

b_linear() {
    measure "b.one.$latency" b_per_service 1000
    measure "b.other.$latency" b_per_service 100
    compare b "$latency ms, chpg's time of a service, 1000 / 100" ms \
        "b.one.$latency" "b.other.$latency" 1.15
}

b_per_service() {
    sort -g "samples/b.fleet_$1_$latency.chpg" |
        awk -v services="$1" '{ time[NR] = $1 } END { print time[int((NR + 1) / 2)] / services }'
}
