# shellcheck shell=bash
# shellcheck disable=SC2154   # variables of run and contestants.sh
# a. One page of 500 patterns, without latency. No backend meets a page twice, for PostgreSQL
# remembers what it computed of equal texts.

A_PAGES=50    # in a round, and one before them to warm up

point_a() {
    local contestants=(chpg chpg_gzip chpg_table bare bare_gzip copy) all round contestant batch

    [ "$peer" = no ] || contestants+=(peer peer_gzip)
    mapfile -t all < <(ids pages)
    add_server pages "$replay/pages" unlimited
    add_server pages_gzip "$replay/pages.gzip" unlimited
    for ((round = 0; round < rounds; round++)); do
        a_batch
        for contestant in $(rotated "$round" "${contestants[@]}"); do
            psql -q -c 'TRUNCATE rows_chpg, rows_peer'
            measure "a.$contestant" "a_$contestant"
        done
    done
    compare a "500 rows, chpg / pgsql-http" ms a.chpg a.peer 1
    compare a "500 rows, chpg / pgsql-http, gzip" ms a.chpg_gzip a.peer_gzip 1
    compare a "500 rows, chpg / libcurl + json-c" ms a.chpg a.bare 1.5
    compare a "500 rows, chpg / libcurl + json-c, gzip" ms a.chpg_gzip a.bare_gzip 1.5
    compare a "500 rows into a table, chpg / curl, jq, COPY" ms a.chpg_table a.copy 1
    a_equal
}

# Further pages in each round, from the beginning when all were asked
a_batch() {
    local i
    batch=()
    for ((i = 0; i <= A_PAGES; i++)); do
        batch+=("${all[(round * (A_PAGES + 1) + i) % ${#all[@]}]}")
    done
}

a_chpg() { a_sql counting chpg_page pages; }
a_chpg_gzip() { a_sql counting chpg_page pages_gzip; }
a_chpg_table() { a_sql 'keeping rows_chpg' chpg_page pages; }
a_peer() { a_sql counting peer_page "$replay/pages"; }
a_peer_gzip() { a_sql counting peer_page "$replay/pages.gzip"; }

# a_sql WHAT_TO_DO FROM_LIST WHERE
a_sql() {
    local id
    {
        [ "$2" != peer_page ] || echo "$PEER_SESSION"
        for id in "${batch[@]}"; do
            $1 "$($2 "$3" "$id")"
            [ "$id" != "${batch[0]}" ] || echo "$TIMED"
        done
    } | mean_ms
}

a_bare() { a_urls pages | xargs ./bare; }
a_bare_gzip() { a_urls pages.gzip | xargs ./bare --gzip; }

a_urls() {
    local id
    for id in "${batch[@]}"; do
        echo "$id" "$(patterns_url "$replay/$1" "$id")"
    done
}

a_copy() {
    local id start=$EPOCHREALTIME
    for id in "${batch[@]:1}"; do
        a_copy_page "$id"
    done
    awk -v start="$start" -v end="$EPOCHREALTIME" -v pages="$A_PAGES" \
        'BEGIN { printf "%.4f\n", (end - start) * 1000 / pages }'
}

a_copy_page() {
    curl -sf -u "$KEY" "$(patterns_url "$replay/pages" "$1")" |
        jq -r --arg id "$1" -f tree/bench/rows.jq |
        psql -q -c 'COPY rows_peer FROM STDIN (FORMAT csv)'
}

# Each has to show the rows of the last round.
a_equal() {
    local id
    psql -q -c 'TRUNCATE rows_chpg, rows_peer'
    for id in "${batch[@]}"; do keeping rows_chpg "$(chpg_page pages "$id")"; done | psql -q
    a_urls pages | xargs ./bare --rows | psql -q -c 'COPY rows_peer FROM STDIN'
    equal a "rows of chpg and libcurl + json-c"

    psql -q -c 'TRUNCATE rows_peer'
    for id in "${batch[@]}"; do a_copy_page "$id"; done
    equal a "rows of chpg and curl, jq, COPY"

    psql -q -c 'TRUNCATE rows_peer'
    [ "$peer" = no ] || {
        echo "$PEER_SESSION"
        for id in "${batch[@]}"; do keeping rows_peer "$(peer_page "$replay/pages" "$id")"; done
    } | psql -q -At
    equal a "rows of chpg and pgsql-http"
}
