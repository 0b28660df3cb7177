# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154   # variables for the points, variables of run
# Who is measured, and on what: the same window of the same recorded services. Sourced by run.

KEY=demoKeyId:demoKeySecret
FROM=$(date -u -d '-1 day' +%Y-%m-%dT%H:%M:%S.000Z)
TO=$(date -u +%Y-%m-%dT%H:%M:%S.000Z)

# A server of chpg and a key for it: add_server NAME URL RATE_LIMIT [KEY_ID]
add_server() {
    psql -q -v ON_ERROR_STOP=1 -v server="$1" -v url="$2" -v rate="$3" -v id="${4:-demoKeyId}" \
        -v organization="$organization" <<'END'
CREATE SERVER :"server" FOREIGN DATA WRAPPER chpg
    OPTIONS (api_url :'url', organization_id :'organization', rate_limit :'rate');
CREATE USER MAPPING FOR CURRENT_USER SERVER :"server"
    OPTIONS (key_id :'id', key_secret 'demoKeySecret');
END
}

# What pgsql-http needs in a session: the key, connections that are kept, and patience
PEER_SESSION="
SELECT FROM http_set_curlopt('CURLOPT_USERPWD', '$KEY');
SET http.keepalive = on;
SET http.timeout_msec = 60000;"

services_url() { echo "$1/v1/organizations/$organization/postgres"; }

patterns_url() { echo "$(services_url "$1")/$2/slowQueryPatterns?from_date=$FROM&to_date=$TO&limit=500"; }

# chpg_fleet SERVER [MAX_ROWS], peer_fleet URL: all patterns of all services, as a FROM list with the
# rows r
chpg_fleet() {
    echo "chpg_slow_patterns('$FROM', '$TO', ${2:+max_rows => $2,} server => '$1') AS r"
}

peer_fleet() {
    local url
    url=$(services_url "$1")
    cat <<END
http_get('$url') AS list,
LATERAL jsonb_to_recordset(list.content::jsonb -> 'result') AS s (id text),
LATERAL http_get('$url/' || s.id ||
    '/slowQueryPatterns?from_date=$FROM&to_date=$TO&limit=500') AS page,
LATERAL rows_of(s.id, page.content) AS r
END
}

# chpg_page SERVER ID [MAX_ROWS], peer_page URL ID: the same of a page of one service
chpg_page() {
    echo "chpg_slow_patterns('$FROM', '$TO', '$2', max_rows => ${3:-500}, server => '$1') AS r"
}

peer_page() {
    echo "http_get('$(patterns_url "$1" "$2")') AS page, LATERAL rows_of('$2', page.content) AS r"
}

counting() { echo "SELECT count(*) FROM $1;"; }

# keeping TABLE FROM_LIST
keeping() { echo "INSERT INTO $1 SELECT r.* FROM $2;"; }

# Mean time of the statements on stdin that come after this line, in milliseconds
TIMED='\timing on'

mean_ms() {
    psql -q -At -v ON_ERROR_STOP=1 -f - |
        awk '/^Time: / { sum += $2; n++ } END { printf "%.4f\n", sum / n }'
}

# Empties the two tables, then fills them: fill CHPG_FROM_LIST PEER_FROM_LIST
fill() {
    {
        echo 'TRUNCATE rows_chpg, rows_peer;'
        keeping rows_chpg "$1"
        echo "$PEER_SESSION"
        keeping rows_peer "$2"
    } | psql -q -At -v ON_ERROR_STOP=1 -f - >/dev/null
}
