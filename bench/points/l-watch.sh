# shellcheck shell=bash
# shellcheck disable=SC2154   # variables of run
# l. What watches each hour find in noisy fleets (t/insight/README.md): alarms of healthy services, of 3 to 500
# patterns, over some weeks; problems of 34 kinds; and how long a watch of 50 services with 200 patterns takes.
# L_SEED decides all of them. About an hour; L_DAYS=2 is a rehearsal.

: "${L_SEED:=100}" "${L_SERVICES:=50}" "${L_DAYS:=20}" "${L_PLANTED:=3}"

point_l() {
    local i

    watch_fleet healthy "seed=$L_SEED" "services=$L_SERVICES" patterns=0 "judged=$L_DAYS"
    for ((i = 1; i <= L_PLANTED; i++)); do
        watch_fleet problems "seed=$((L_SEED + i))" services=0 plants=all judged=2
    done
    watch_fleet large "seed=$((L_SEED + 50))" services=50 patterns=200 judged=1 until=6
    at_most "healthy days, alarm" alarms healthy 3
    at_most "healthy days, ERROR" errors healthy 0.5
    at_least "named, d >= 10" strong problems 95
    at_least "named, d 5 to 10" middle problems 75
    at_least "named, all" all problems 85
    at_least "named in a day" day problems 95
    at_least "first row" first problems 85
    at_least "onset to an hour" since problems 85
    at_least "one row" rows problems 85
    expect l "watch, 50 x 200" "$(sed -n 's/.*slowest watch with scoring \([0-9]*\) ms/\1/p' log/large.log)" 4000 ms
}

# watch_fleet NAME OPTION...: see bench/fleet; its output goes to log/NAME.log, and its measures are added to NAME's
watch_fleet() {
    local name=$1
    shift
    say "watching a fleet: $*"
    history_database "$name"
    PGDATABASE=$name tree/bench/fleet "$@" >"$work/log/$name.log"
    cat "$work/log/$name.log"
    sed -n 's/^=//p' "$work/log/$name.log" >>"$work/samples/l.$name"
    psql -q -c "DROP DATABASE $name"
}

# percent MEASURE NAME: "PERCENT SOME ALL" of all its fleets
percent() {
    awk -v measure="$1" '$1 == measure { some += $2; all += $3 }
        END { printf "%.2f %d %d\n", all ? 100 * some / all : 0, some, all }' "$work/samples/l.$2"
}

at_most() {
    local value some all
    read -r value some all < <(percent "$2" "$3")
    expect l "$1 ($some/$all)" "$value" "$4" %
}

# The line has what is missing.
at_least() {
    local value some all
    read -r value some all < <(percent "$2" "$3")
    expect l "not $1 ($((all - some))/$all)" "$(awk "BEGIN { print 100 - $value }")" "$((100 - $4))" %
}
