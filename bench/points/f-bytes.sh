# shellcheck shell=bash
# shellcheck disable=SC2154   # variables of run and contestants.sh
# f. Bytes on the wire, requests and heads included, from a server that compresses for those who ask
# for it, as pgsql-http does by now. They are always the same, and so counted once.

point_f() {
    local id pages="$replay/pages.gzip" fleet="$replay/fleet.services-100.gzip"

    id=$(ids pages | sed -n 1p)
    add_server f_pages "$pages" unlimited
    add_server f_fleet "$fleet" unlimited
    measure f.page.chpg f_bytes f_sql "$(chpg_page f_pages "$id")"
    measure f.page.compressed f_bytes f_curl --compressed
    measure f.page.curl f_bytes f_curl
    measure f.fleet.chpg f_bytes f_sql "$(chpg_fleet f_fleet)"
    if [ "$peer" = yes ]; then
        measure f.page.peer f_bytes f_sql "$(peer_page "$pages" "$id")"
        measure f.fleet.peer f_bytes f_sql "$(peer_fleet "$fleet")"
    fi
    compare f "500 rows, chpg / pgsql-http" kB f.page.chpg f.page.peer 1.02
    compare f "500 rows, curl --compressed / pgsql-http" kB f.page.compressed f.page.peer
    compare f "500 rows, chpg / curl --compressed" kB f.page.chpg f.page.compressed
    compare f "500 rows, chpg / curl" kB f.page.chpg f.page.curl 0.25
    compare f "100 services, chpg / pgsql-http" kB f.fleet.chpg f.fleet.peer 1.02
}

# What crosses the wire during a command, in kB
f_bytes() {
    curl -sf "$replay/_bytes" >/dev/null
    "$@" >/dev/null
    curl -sf "$replay/_bytes" | awk '{ print ($2 + $3) / 1000 }'
}

f_sql() {
    {
        [[ $1 != *http_get* ]] || echo "$PEER_SESSION"
        counting "$1"
    } | psql -q -At -v ON_ERROR_STOP=1 -f -
}

f_curl() { curl -sf "$@" -u "$KEY" "$(patterns_url "$pages" "$id")"; }
