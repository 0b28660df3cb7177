# shellcheck shell=bash
# shellcheck disable=SC2154   # variables of run and contestants.sh
# e. The most memory that a backend has while it reads ever more rows, beyond what it has after a
# first page. It may grow up to work_mem and what is in flight; of a service that is read page by page,
# eight bytes a row stay, up to work_mem, to know rows that come again.

point_e() {
    local rows what contestants=(one fleet) contestant id round

    [ "$peer" = no ] || contestants+=(peer)
    id=$(ids pages | sed -n 1p)
    for rows in 1000 10000 100000; do
        add_server "e_$rows" "$replay/pages.services-$((rows / 500)).gzip" unlimited
        for ((round = 0; round < rounds; round++)); do
            for contestant in $(rotated "$round" "${contestants[@]}"); do
                e_measure "$contestant" "$("e_$contestant")"
            done
        done
    done
    for contestant in one fleet; do
        what="$([ "$contestant" = one ] && echo "one service" || echo "a fleet")"
        compare e "$what, peak, 10k / 1k rows" MB e.$contestant.10000 e.$contestant.1000
        compare e "$what, peak, 100k / 10k rows" MB e.$contestant.100000 e.$contestant.10000 \
            1.25
        compare e "$what, peak, 100k rows, chpg / pgsql-http" MB e.$contestant.100000 e.peer.100000
        compare e "$what, own memory after 100k / 10k rows" MB e.$contestant.100000.own e.$contestant.10000.own
    done
}

# e_measure CONTESTANT FROM_LIST: samples of the peak and of what is left, in MB
e_measure() {
    local peak own
    {
        [ "$1" != peer ] || echo "$PEER_SESSION"
        if [ "$1" = peer ]; then counting "$(peer_page "$replay/pages" "$id")"; else
            counting "$(chpg_page e_1000 "$id")"
        fi
        echo 'SELECT peak, own FROM memory() \gset before_'
        counting "$2"
        echo "SELECT 'memory', round((peak - :before_peak) / 1024.0, 3) + 0.001,"
        echo "    round(own / 1024.0, 3) FROM memory();"
    } | psql -q -At -F ' ' -v ON_ERROR_STOP=1 -f - | sed -n 's/^memory //p' >"$work/memory"
    read -r peak own <"$work/memory"
    measure "e.$1.$rows" echo "$peak"
    measure "e.$1.$rows.own" echo "$own"
}

e_one() { chpg_page "e_$rows" "$id" "$rows"; }
e_fleet() { chpg_fleet "e_$rows" 500; }

e_peer() {
    cat <<END
generate_series(0, $rows - 1, 500) AS start,
LATERAL http_get('$(patterns_url "$replay/pages" "$id")&offset=' || start) AS page,
LATERAL rows_of('$id', page.content) AS r
END
}
