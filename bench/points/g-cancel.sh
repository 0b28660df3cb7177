# shellcheck shell=bash
# shellcheck disable=SC2154   # variables of run and contestants.sh
# g. How long a cancel takes to reach the client while the API does not answer.

G_SAMPLES=200
G_PEER_SAMPLES=20

point_g() {
    local id

    tree/emulator/ctl reset '{}'
    tree/emulator/ctl fault '{"path": "slowQueryPatterns$", "hang": true}' >/dev/null
    id=$(tree/emulator/ctl info | jq -r '.services[0].id')
    add_server hanging "$CHPG_EMULATOR_URL" unlimited
    g_cancel "$G_SAMPLES" "LOAD 'chpg'" "$(chpg_page hanging "$id")" >samples/g.chpg
    expect g "cancel, p50 of $G_SAMPLES" "$(percentile 50 g.chpg)" 50 ms
    expect g "cancel, p99 of $G_SAMPLES" "$(percentile 99 g.chpg)" 50 ms

    if [ "$peer" = yes ]; then
        g_cancel "$G_PEER_SAMPLES" "$PEER_SESSION" "$(peer_page "$CHPG_EMULATOR_URL" "$id")" \
            >samples/g.peer
    fi
    measure g.chpg.median percentile 50 g.chpg
    [ "$peer" = no ] || measure g.peer.median percentile 50 g.peer
    compare g "cancel, p50, chpg / pgsql-http" ms g.chpg.median g.peer.median
}

# g_cancel SAMPLES SETUP FROM_LIST
g_cancel() {
    ./cancel "$CHPG_EMULATOR_URL/_emulator/count" "$1" "$2" "$(counting "$3")"
}

percentile() {
    sort -g "samples/$2" |
        awk -v part="$1" '{ value[NR] = $1 } END { i = int((NR * part + 99) / 100); print value[i] }'
}
