# shellcheck shell=bash
# shellcheck disable=SC2154   # variables of run and contestants.sh
# h. The Prometheus metrics of 100 services with some 60 samples each, in CPU time of the backend: the
# emulator takes longer to write them than anybody to read them.

H_SCRAPES=20

point_h() {
    local url round

    tree/emulator/ctl reset '{"services": 100, "now": "2026-06-01T12:00:00.000Z"}'
    url=$(services_url "$CHPG_EMULATOR_URL")/prometheus
    add_server scraped "$CHPG_EMULATOR_URL" unlimited
    for ((round = 0; round < rounds; round++)); do
        measure h.chpg h_cpu '' "chpg_prometheus(server => 'scraped')"
        [ "$peer" = no ] || {
            measure h.peer h_cpu "$PEER_SESSION" "$(h_peer "$url")"
            measure h.transfer h_cpu "$PEER_SESSION" "http_get('$url') AS page WHERE length(content) > 0"
        }
    done
    [ "$peer" = no ] || paste samples/h.chpg samples/h.transfer | awk '{ print $1 - $2 }' |
        "${as_user[@]}" tee samples/h.beyond >/dev/null
    compare h "100 services, chpg / pgsql-http with a regexp" ms h.chpg h.peer 1
    [ "$peer" = no ] ||
        expect h "100 services, chpg beyond the transfer" "$(sort -g samples/h.beyond | head -n 1)" 20 ms
    h_equal "$url"
}

h_peer() {
    echo "http_get('$1') AS page,
        LATERAL regexp_matches(page.content, '^(\\w+)\\{(.*)\\} (\\S+)\$', 'gn') AS m
        WHERE m[3]::double precision IS NOT NULL"
}

# h_cpu SETUP FROM_LIST: mean CPU time of the backend for one
h_cpu() {
    local i
    {
        echo "$1"
        counting "$2"
        echo 'SELECT cpu_ms() AS before \gset'
        for ((i = 0; i < H_SCRAPES; i++)); do counting "$2"; done
        echo "SELECT (cpu_ms() - :before) / $H_SCRAPES;"
    } | psql -q -At -v ON_ERROR_STOP=1 -f - | tail -n 1
}

h_equal() {
    local ours theirs=nothing verdict=FAILED
    ours=$(psql -q -At -c "SELECT count(*), sum(value)::numeric FROM chpg_prometheus(server => 'scraped')")
    [ "$peer" = no ] || {
        theirs=$({
            echo "$PEER_SESSION"
            echo "SELECT count(*), sum(m[3]::double precision)::numeric FROM $(h_peer "$1");"
        } | psql -q -At | tail -n 1)
    }
    [ "$ours" != "$theirs" ] || verdict=ok
    line h "samples and their sum, chpg and pgsql-http" "${ours%|*} rows" "${theirs%|*} rows" - - \
        equal "$verdict"
}
