# shellcheck shell=bash
# shellcheck disable=SC2154   # variables of run and contestants.sh
# k. A week of 50 services with 200 patterns each: comparison and findings of its last day, of one service
# and of all, and the patterns that took most time. With K_BEFORE, a revision whose library calls the same
# SQL functions, the same in its SQL.

: "${K_BEFORE:=}"

point_k() {
    local round what version versions=(now)

    if [ -n "$K_BEFORE" ]; then
        install_before "$K_BEFORE"
        versions+=(before)
    fi
    for version in "${versions[@]}"; do
        make_history "week_$version" 50 200 8
    done
    for ((round = 0; round < rounds; round++)); do
        for what in compare_one compare_fleet findings_one findings_fleet top; do
            for version in $(rotated "$round" "${versions[@]}"); do
                measure "k.$what.$version" milliseconds "week_$version" "$(insight "$what")"
            done
        done
    done
    beside k "compare one" k.compare_one ms 150 "$K_BEFORE"
    beside k "compare fleet" k.compare_fleet ms 2000 "$K_BEFORE"
    beside k "findings one" k.findings_one ms 300 "$K_BEFORE"
    beside k "findings fleet" k.findings_fleet ms 4000 "$K_BEFORE"
    beside k "top" k.top ms 600 "$K_BEFORE"
}
