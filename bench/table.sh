# shellcheck shell=bash
# shellcheck disable=SC2154   # work is dev/common.sh's
# Samples, and the table that is made of them. Sourced by run.
#
# A sample is a number in a file that is named after what was measured; its line is its round. A
# ratio is taken within each round, so that what slows the machine down for a while slows both sides.

# measure NAME COMMAND...: what the command prints is the next sample
measure() {
    local name=$1 value
    shift
    value=$("$@")
    echo "$value" >>"$work/samples/$name"
}

# rotated N NAME...: the names, starting with another one in each round
rotated() {
    local turn=$1
    shift
    turn=$((turn % $#))
    echo "${@:turn+1}" "${@:1:turn}"
}

# compare POINT WHAT UNIT MEASURED AGAINST [WANTED]: a line of the table, from two names of samples.
# WANTED is how great the ratio may be.
compare() {
    local point=$1 what=$2 unit=$3 measured=$4 against=$5 wanted=${6:-} name

    for name in "$measured" "$against"; do
        if [ ! -s "$work/samples/$name" ]; then
            line "$point" "$what" - - - - "${wanted:+<= $wanted}" "FAILED: nothing for $name"
            return
        fi
    done
    paste "$work/samples/$measured" "$work/samples/$against" |
        awk -v point="$point" -v what="$what" -v unit="$unit" -v wanted="$wanted" '
            function median(values, count,   i, j, kept) {
                for (i = 2; i <= count; i++) {
                    kept = values[i]
                    for (j = i - 1; j > 0 && values[j] > kept; j--) values[j + 1] = values[j]
                    values[j + 1] = kept
                }
                return (values[int((count + 1) / 2)] + values[int(count / 2) + 1]) / 2
            }
            function shown(value) {
                return sprintf(value < 100 ? "%.3g" : "%.0f", value) (unit == "" ? "" : " " unit)
            }
            { left[NR] = $1; right[NR] = $2; ratio[NR] = $1 / $2 }
            END {
                m = median(ratio, NR)
                verdict = wanted == "" ? "" : m <= wanted ? "ok" : "FAILED"
                printf "%s\t%s\t%s\t%s\t%.3f\t%.3f to %.3f\t%s\t%s\n", point, what,
                    shown(median(left, NR)), shown(median(right, NR)),
                    m, ratio[1], ratio[NR], wanted == "" ? "" : "<= " wanted, verdict
            }' >>"$work/lines"
}

# expect POINT WHAT VALUE MOST [UNIT]: a line for a number that has no peer
expect() {
    local point=$1 what=$2 value=$3 most=$4 unit=${5:+ $5} verdict=FAILED

    if awk -v value="$value" -v most="$most" 'BEGIN { exit !(value <= most) }'; then
        verdict=ok
    fi
    line "$point" "$what" "$value$unit" - - - "<= $most$unit" "$verdict"
}

# equal POINT WHAT: do rows_chpg and rows_peer have the same rows, and any? Only chpg's have
# service_name and query_hex.
equal() {
    local count differences verdict=FAILED
    psql -q -c 'UPDATE rows_chpg SET service_name = NULL, query_hex = NULL'
    count=$(psql -q -At -c 'SELECT count(*) FROM rows_chpg')
    differences=$(psql -q -At -c 'SELECT count(*) FROM
        ((TABLE rows_chpg EXCEPT ALL TABLE rows_peer) UNION ALL
         (TABLE rows_peer EXCEPT ALL TABLE rows_chpg)) AS different')

    [ "$count" -eq 0 ] || [ "$differences" -ne 0 ] || verdict=ok
    line "$1" "$2" "$count rows" "$differences differ" - - "0 differ" "$verdict"
}

# equal_text POINT WHAT ONE OTHER
equal_text() {
    local verdict=FAILED
    [ -z "$3" ] || [ "$3" != "$4" ] || verdict=ok
    line "$1" "$2" "$(wc -l <<<"$3") rows" "$(wc -l <<<"$4") rows" - - equal "$verdict"
}

line() {
    local IFS=$'\t'
    echo "$*" >>"$work/lines"
}

# Fails if a line did.
table() {
    printf '\nPostgreSQL %s, %s rounds, %s\n\n' "$major" "$rounds" \
        "$(awk '{ print "load " $1 }' /proc/loadavg) on $(nproc) processors"
    awk -F '\t' '
        BEGIN { layout = "%-2s %-44s %12s %12s %8s  %-18s %-9s %s\n"
                printf layout, "", "", "measured", "against", "ratio", "from round to round",
                    "wanted", "" }
        $1 != last && NR > 1 { print "" }
        { printf layout, $1 == last ? "" : $1, $2, $3, $4, $5, $6, $7, $8; last = $1 }
        $8 == "ok" { good++ }
        $8 ~ /^FAILED/ { bad++ }
        END { printf "\n%d as wanted, %d not\n", good, bad; exit bad > 0 }' "$work/lines"
}
