# shellcheck shell=bash
# What a run of deploy/bin/load cost: processor time and memory of each part. The tiers export their own to Prometheus;
# PostgreSQL, Redis, Prometheus itself and k6 are asked from the kernel. And the report of it.

TIERS=(gateway-1 gateway-2 api-1 api-2 api-3)
OTHERS=(postgres redis prometheus)
TICKS=$(getconf CLK_TCK)

# Processor time of a process, and of its children that have ended, in ticks.
ticks_of() { # process id
    local stat fields
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || { echo 0; return; }
    read -ra fields <<<"${stat##*) }"
    echo $((fields[11] + fields[12] + fields[13] + fields[14]))
}

# The processes of a part: PostgreSQL has one for each connection.
processes_of() { # part
    local id
    id=$(running "$1") && echo "$id" && { pgrep --parent "$id" || true; }
}

part_ticks() { # part
    local id sum=0
    for id in $(processes_of "$1"); do ((sum += $(ticks_of "$id"))) || true; done
    echo "$sum"
}

# In MiB; what its processes share counts once.
part_memory() { # part
    local id
    for id in $(processes_of "$1"); do cat "/proc/$id/smaps_rollup" 2>/dev/null || true; done |
        awk '/^Pss:/ {sum += $2} END {printf "%.0f", sum / 1024}'
}

# Ticks of all processors: those that went by, and those that somebody worked in.
machine_ticks() {
    awk '/^cpu / {for (i = 2; i <= 9; i++) all += $i; print all, all - $5 - $6; exit}' /proc/stat
}

begin_measuring() {
    local part
    declare -gA ticks=()
    begun=$(date +%s)
    read -r machine_all machine_busy < <(machine_ticks)
    # k6 is a child that has ended, then.
    ticks[k6]=$(ticks_of $$)
    [[ -n ${STACK:-} ]] || return 0
    for part in "${OTHERS[@]}"; do ticks[$part]=$(part_ticks "$part"); done
}

end_measuring() {
    local part all busy
    # The second that has begun counts: a run may be over within one.
    ended=$(($(date +%s) + 1))
    read -r all busy < <(machine_ticks)
    machine_all=$((all - machine_all)) machine_busy=$((busy - machine_busy))
    ticks[k6]=$(($(ticks_of $$) - ticks[k6]))
    [[ -n ${STACK:-} ]] || return 0
    for part in "${OTHERS[@]}"; do ticks[$part]=$(($(part_ticks "$part") - ticks[$part])); done
    for part in "${TIERS[@]}"; do
        ticks[$part]=$(ask "increase(process_cpu_seconds_total{$(instance "$part")}[$((ended - begun))s]) * $TICKS" "$ended")
    done
}

instance() { # part
    echo "instance=\"127.0.0.1:$(setting "$1" ADMIN_PORT)\""
}

# The value of an expression at a time; nothing when there is none, or no Prometheus: the result of a run stands without.
ask() { # expression, time
    { curl --silent --fail --max-time 10 --get --data-urlencode "query=$1" --data-urlencode "time=$2" "$STACK_PROMETHEUS_URL/api/v1/query" || true; } |
        jq -r '.data.result[0].value[1] // empty | select(. != "NaN")'
}

calculate() { # printf's format, expression
    awk "BEGIN {printf \"$1\", $2}"
}

# A figure that may not be known.
figure() { # printf's format, value, what is done with it
    if [[ -n $2 ]]; then calculate "$1" "$2 $3"; else echo -; fi
}

# The report, in the form in which it stands in docs/performance/load.md.
write_report() { # form, what was built, k6, folder of the results
    local commit
    commit=$(git describe --always --dirty --exclude '*' 2>/dev/null) || commit=unknown
    cat <<END
## Result of $(date --utc +%Y-%m-%d)

\`deploy/bin/load $1\` at commit $commit: $(jq -r '"\(.requests) requests in \(.seconds | round) s, p95 \(.p95 * 10 | round / 10) ms, \(.errors) errors"' "$4/summary.json").
$(describe_machine "$2" "$3")

### Requests

$(cat "$4/summary.txt")

### What it took

$(machine_use)
END
    if [[ -n ${STACK:-} ]]; then
        echo
        table_of_parts
        echo
        seen_from_inside "$4/summary.json"
    fi
}

describe_machine() { # what was built, k6
    local place='k6 alone' database=''
    if [[ -n ${STACK:-} ]]; then
        place='the service, its database and k6 together'
        database=", PostgreSQL $(database_query 'SHOW server_version')"
    fi
    cat <<END
Machine ($place): $(nproc) × $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(awk '/^MemTotal/ {printf "%.0f", $2 / 1048576}' /proc/meminfo) GiB,
$(sed -n 's/^PRETTY_NAME="\(.*\)"/\1/p' /etc/os-release), Linux $(uname -r), $(rustc --version | cut -d ' ' -f 1,2), $1, $("$2" version | cut -d ' ' -f 1,2)$database.
END
}

# How busy the machine was, and how much of that was not ours.
machine_use() {
    local part sum=0
    printf 'The processors were %s %% busy from the first account to the last' "$(calculate %.0f "100 * $machine_busy / $machine_all")"
    for part in "${!ticks[@]}"; do
        # Without a part's figure nothing can be said of the rest.
        [[ -n ${ticks[$part]} ]] || { echo .; return; }
        sum="$sum + ${ticks[$part]}"
    done
    echo ", $(calculate %.0f "($machine_busy > ($sum)) * 100 * ($machine_busy - ($sum)) / $machine_all + 0") % with other things than these parts."
}

table_of_parts() {
    local part memory
    echo '| part       | processor s | cores | memory MiB |'
    echo '|------------|------------:|------:|-----------:|'
    for part in "${TIERS[@]}" "${OTHERS[@]}" k6; do
        case "$part" in
            k6) memory='' ;;
            gateway-? | api-?) memory=$(ask "max_over_time(process_resident_memory_bytes{$(instance "$part")}[$((ended - begun))s]) / 1048576" "$ended") ;;
            *) memory=$(part_memory "$part") ;;
        esac
        printf '| %-10s | %11s | %5s | %10s |\n' "$part" "$(figure %.1f "${ticks[$part]}" "/ $TICKS")" \
            "$(figure %.2f "${ticks[$part]}" "/ $TICKS / ($ended - $begun)")" "$(figure %.0f "$memory" '')"
    done
}

# The same requests as the service measured them, during the ramp itself.
seen_from_inside() { # summary.json
    local begin length until
    read -r begin length < <(jq -r '"\(.begin) \(.seconds | floor)s"' "$1")
    until=$(calculate %.0f "$begin + ${length%s}")
    p95() { # histogram
        local value
        value=$(ask "1000 * histogram_quantile(0.95, sum by (le) (increase($1_bucket[$length])))" "$until")
        calculate %.1f "${value:-0}"
    }
    count() { # counter
        calculate %.0f "$(ask "sum(increase($1[$length])) or vector(0)" "$until")"
    }
    cat <<END
Seen from inside: p95 $(p95 gateway_request_duration_seconds) ms at the gateways, $(p95 todo_api_http_request_duration_seconds) ms at the API, $(p95 todo_api_password_wait_seconds) ms until a password's turn to be hashed
($(count todo_api_password_shed_total) turned away). At most $(ask "max_over_time(sum(todo_api_database_connections{state=\"busy\"})[$length:5s])" "$until") of $(ask 'sum(todo_api_database_connections{state="limit"})' "$until") database connections were busy. The gateways refused
$(count gateway_refusals_total) requests and closed $(count gateway_connections_closed_total) connections without an answer.
END
}
