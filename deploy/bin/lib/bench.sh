# shellcheck shell=bash
# What deploy/bin/bench measures: its sides, its lanes, one round, and the result. The caller sets folder, output, lanes,
# rounds, seconds, profile, least_loaded, target and processors.
# shellcheck disable=SC2154,SC2034 # those, and names that are made of a side

LANE_NAMES=(plain_h1 tls_h1 h2)
SIDES=(ours nginx)
TICKS=$(getconf CLK_TCK)
# The credentials of a request: as long as those of the API, and nobody's.
TOKEN="eyJ$(printf 'x%.0s' {1..400})"

known_lane() { # name
    [[ " ${LANE_NAMES[*]} " == *" $1 "* ]]
}

# h2load's arguments for a lane: 32 requests in flight in each.
lane_arguments() { # lane
    case "$1" in
        plain_h1 | tls_h1) echo --h1 --clients=32 --max-concurrent-streams=1 ;;
        h2) echo --clients=8 --max-concurrent-streams=4 ;;
    esac
}

# The port of a side for a lane, with its scheme.
lane_address() { # lane, side
    local name
    case "$1" in
        plain_*) name=${2}_http && echo "http ${!name}" ;;
        *) name=${2}_https && echo "https ${!name}" ;;
    esac
}

# The processors that this process may use, one a line.
allowed_processors() {
    local ranges range
    IFS=, read -ra ranges <<<"$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status)"
    for range in "${ranges[@]}"; do seq "${range%-*}" "${range#*-}"; done
}

gone() { # process id
    [[ ! -e /proc/$1 ]] || [[ $(sed 's/.*) //; s/ .*//' "/proc/$1/stat") == Z ]]
}

# Starts a command on a processor; its id is in `started`. Its output goes to a file of its name.
start() { # name, processor, command...
    local name=$1 processor=$2
    shift 2
    taskset --cpu-list "$processor" "$@" </dev/null >"$folder/$name.log" 2>&1 &
    started=$!
    processes+=("$started")
}

# Waits for an answer of 200; fails with the last words of the process.
await() { # name, address
    wait_until 30 curl --silent --fail --insecure --max-time 2 --output /dev/null "$2" && return
    tail -n 5 "$folder/$1.log" >&2
    fail "$1 did not become ready at $2, see above"
}

start_nginx() { # name, processor, configuration, words of sed
    local name=$1 processor=$2 configuration=$3
    shift 3
    sed "$@" "bench/$configuration" >"$folder/$configuration"
    start "$name" "$processor" nginx -p "$folder" -c "$folder/$configuration"
}

# Origin and load on one processor, both sides on the other: they work in turns, so each has it for itself.
start_all() {
    local origin_port
    # nginx's worker is another user.
    chmod 711 "$folder"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost -keyout "$folder/key.pem" -out "$folder/chain.pem" 2>"$folder/openssl.log" ||
        fail "openssl could not make a certificate: $(tail -n 1 "$folder/openssl.log")"
    for variable in origin_port nginx_http nginx_https ours_http ours_https admin_port; do free_port "$variable"; done

    start_nginx origin "${processors[1]}" origin.conf -e "s|@ORIGIN_PORT@|$origin_port|g"
    await origin "http://127.0.0.1:$origin_port/readyz"
    start_nginx nginx "${processors[0]}" nginx.conf -e "s|@ORIGIN_PORT@|$origin_port|g" -e "s|@FOLDER@|$folder|g" \
        -e "s|@HTTP_PORT@|$nginx_http|g" -e "s|@HTTPS_PORT@|$nginx_https|g"
    nginx_id=$started

    # Whatever the caller's shell has set for the gateway is not meant for this one.
    for variable in "${!TODO_@}"; do unset "$variable"; done
    # A folder of its own: it is watched, and a log that is written in it would keep the watcher busy.
    mkdir "$folder/gateway"
    cat bench/gateway.toml - >"$folder/gateway/gateway.toml" <<TOML
output = "$folder/gateway-access.log"

[[tls.certificates]]
chain = "$folder/chain.pem"
key = "$folder/key.pem"
TOML
    start gateway "${processors[0]}" env TODO_ENVIRONMENT=staging TODO_GATEWAY__LISTEN__HTTPS="127.0.0.1:$ours_https" \
        TODO_GATEWAY__LISTEN__HTTP="127.0.0.1:$ours_http" TODO_GATEWAY__ADMIN__LISTEN="127.0.0.1:$admin_port" \
        TODO_GATEWAY__UPSTREAMS__API__ADDRESSES="127.0.0.1:$origin_port" "target/$profile/todo-gateway" run --config "$folder/gateway/gateway.toml"
    ours_id=$started
    await nginx "https://localhost:$nginx_https/v1/ready"
    await gateway "https://localhost:$ours_https/v1/ready"
}

# The processes of a side: nginx has a worker beside its master.
processes_of() { # side
    local id=${1}_id
    echo "${!id}"
    pgrep --parent "${!id}" || true
}

# Processor time of a side so far, all its threads, in ticks: utime and stime of proc(5).
ticks_of() { # side
    local id stat fields sum=0
    for id in $(processes_of "$1"); do
        stat=$(cat "/proc/$id/stat")
        read -ra fields <<<"${stat##*) }"
        ((sum += fields[11] + fields[12])) || true
    done
    echo "$sum"
}

# For each thread of a side, how long it has had work so far, in nanoseconds: on a processor or waiting for one.
busy_of() { # side
    local id task ran waited
    for id in $(processes_of "$1"); do
        for task in "/proc/$id/task"/*; do
            read -r ran waited _ <"$task/schedstat" && echo "${task##*/} $((ran + waited))"
        done
    done
}

# One round: loads a side, and sets `cost` (µs of processor time a request), `rate` (requests a second) and `loaded` (the
# share of the round, in percent, in which its busiest thread had work).
measure_round() { # lane, side, seconds
    local lane=$1 side=$2 length=$3 scheme port arguments before after said done_ good begin end
    local -A busy=()
    read -r scheme port < <(lane_address "$lane" "$side")
    read -ra arguments < <(lane_arguments "$lane")
    while read -r thread since; do busy[$thread]=$since; done < <(busy_of "$side")
    before=$(ticks_of "$side")
    begin=$(date +%s%N)
    said=$(timeout --kill-after=5 $((length + 30)) taskset --cpu-list "${processors[1]}" h2load "${arguments[@]}" --duration="$length" --threads=1 \
        --connect-to="127.0.0.1:$port" --header="authorization: Bearer $TOKEN" --header='accept: application/json' \
        "$scheme://localhost:$port$target" 2>&1) || fail "h2load ended with an error on lane $lane, side $side: $(tail -n 1 <<<"$said")"
    end=$(date +%s%N)
    after=$(ticks_of "$side")
    loaded=0
    while read -r thread since; do
        ((since -= ${busy[$thread]:-0})) || true
        ((since = 100 * since / (end - begin))) || true
        if ((since > loaded)); then loaded=$since; fi
    done < <(busy_of "$side")
    done_=$(sed -n 's/^requests: .* \([0-9]*\) done,.*/\1/p' <<<"$said")
    good=$(sed -n 's/^status codes: \([0-9]*\) 2xx,.*/\1/p' <<<"$said")
    ((${done_:-0} > 0)) || fail "lane $lane, side $side: no request was answered: $(grep -m 1 '^requests:' <<<"$said" || tail -n 1 <<<"$said")"
    ((good == done_)) || fail "lane $lane, side $side: $((done_ - good)) of $done_ answers were not 2xx: $(grep '^status codes:' <<<"$said")"
    rate=$(sed -n 's/^finished in .*, \([0-9.]*\) req\/s,.*/\1/p' <<<"$said")
    cost=$(awk "BEGIN {printf \"%.2f\", ($after - $before) * 1e6 / $TICKS / $done_}")
    tls=$(sed -n 's/^\(TLS Protocol\|Cipher\|Server Temp Key\): //p' <<<"$said" | paste -sd ' ')
}

# The lane's rounds in turns; its result is appended to `lanes.json`.
measure_lane() { # lane
    local lane=$1 side round
    for side in "${SIDES[@]}"; do
        # Caches, branch predictors and kept connections, before anything counts.
        measure_round "$lane" "$side" 1
        : >"$folder/$side.rounds"
        echo "$tls" >"$folder/$side.tls"
    done
    cmp --silent "$folder/ours.tls" "$folder/nginx.tls" ||
        fail "lane $lane: ours speaks '$(cat "$folder/ours.tls")' and nginx '$(cat "$folder/nginx.tls")', so the figures would compare ciphers"
    for ((round = 1; round <= rounds; round++)); do
        for side in "${SIDES[@]}"; do
            measure_round "$lane" "$side" "$seconds"
            echo "$cost $rate $loaded" >>"$folder/$side.rounds"
            # Access logs of a whole bench would fill a disk.
            : >"$folder/nginx-access.log"
            : >"$folder/gateway-access.log"
            printf '  %-9s round %d of %d  %-6s %8.2f µs  %7.0f requests/s  %3d %% loaded\n' "$lane" "$round" "$rounds" "$side" "$cost" "$rate" "$loaded"
        done
    done
    for side in "${SIDES[@]}"; do
        jq --raw-input --slurp --arg tls "$(cat "$folder/$side.tls")" '
            def median: sort | if length % 2 == 1 then .[length / 2 | floor] else (.[length / 2] + .[length / 2 - 1]) / 2 end;
            split("\n") | map(select(. != "") | split(" ") | map(tonumber)) | {
                us: (map(.[0]) | median), rounds_us: map(.[0]), requests_per_second: (map(.[1]) | median | round),
                loaded_percent: (map(.[2]) | median), tls: ($tls | if . == "" then null else . end)
            }' "$folder/$side.rounds" >"$folder/$side.json"
        loaded=$(jq '.loaded_percent | floor' "$folder/$side.json")
        ((loaded >= least_loaded)) ||
            fail "lane $lane: $side had work in $loaded % of a round, less than $least_loaded %: the load or the origin was the limit, so the figures mean nothing; use a quieter machine"
    done
    jq --arg name "$lane" --slurpfile ours "$folder/ours.json" --slurpfile nginx "$folder/nginx.json" '. + [{
        name: $name, ours_us: $ours[0].us, peers: {nginx: $nginx[0].us}, ratio_nginx: ($ours[0].us / $nginx[0].us * 100 | round / 100),
        details: {ours: $ours[0], nginx: $nginx[0]}
    }]' "$folder/lanes.json" >"$folder/lanes.new"
    mv "$folder/lanes.new" "$folder/lanes.json"
}

# Ticks of all processors that went by, and those in which somebody worked.
machine_ticks() {
    awk '/^cpu / {for (i = 2; i <= 9; i++) all += $i; print all, all - $5 - $6; exit}' /proc/stat
}

begin_machine() {
    read -r machine_all machine_busy < <(machine_ticks)
    # Ours and what has ended of it: the loads.
    own_begin=$(own_ticks)
}

end_machine() {
    local all busy
    read -r all busy < <(machine_ticks)
    others=$(awk "BEGIN {printf \"%.0f\", 100 * ($busy - $machine_busy - ($(own_ticks) - $own_begin)) / ($all - $machine_all) + 0}")
}

# Ticks of everything that belongs to the bench.
own_ticks() {
    local id stat fields sum=0 children
    children=$(pgrep --parent "$(IFS=,; echo "${processes[*]}")" || true)
    for id in $$ "${processes[@]}" $children; do
        stat=$(cat "/proc/$id/stat" 2>/dev/null) || continue
        read -ra fields <<<"${stat##*) }"
        ((sum += fields[11] + fields[12])) || true
        # Of the script its ended children count too: the loads.
        if ((id == $$)); then ((sum += fields[13] + fields[14])) || true; fi
    done
    echo "$sum"
}

describe() {
    local commit
    commit=$(git describe --always --dirty --exclude '*' 2>/dev/null) || commit=unknown
    jq --null-input --slurpfile lanes "$folder/lanes.json" \
        --arg date "$(date --utc +%FT%TZ)" --arg commit "$commit" --arg profile "$profile" \
        --argjson rounds "$rounds" --argjson seconds "$seconds" --argjson others "$others" \
        --argjson processors "$(nproc --all)" --arg model "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" \
        --argjson memory "$(awk '/^MemTotal/ {printf "%.0f", $2 / 1048576}' /proc/meminfo)" --arg kernel "$(uname -r)" \
        --arg system "$(sed -n 's/^PRETTY_NAME="\(.*\)"/\1/p' /etc/os-release)" \
        --arg gateway "$("target/$profile/todo-gateway" version | head -n 1)" --arg rustc "$(rustc --version | cut -d ' ' -f 2)" \
        --arg nginx "$(nginx -v 2>&1 | sed 's/.*\///')" --arg h2load "$(h2load --version | sed 's/.*\///')" '{
            date: $date, commit: $commit, profile: $profile, rounds: $rounds, seconds: $seconds,
            machine: {processors: $processors, model: $model, memory_gib: $memory, system: $system, kernel: $kernel, others_percent: $others},
            versions: {gateway: $gateway, rustc: $rustc, nginx: $nginx, h2load: $h2load},
            lanes: $lanes[0]
        }'
}

print_table() { # latest.json
    jq -r '"\(.machine.processors) × \(.machine.model), \(.machine.system), Linux \(.machine.kernel); nginx \(.versions.nginx), h2load \(.versions.h2load), rustc \(.versions.rustc)",
        "commit \(.commit), profile \(.profile), median of \(.rounds) rounds of \(.seconds) s; others took \(.machine.others_percent) % of the machine"' "$1"
    echo
    echo '| lane     | ours µs | nginx µs | ratio | ours requests/s | nginx requests/s |'
    echo '|----------|--------:|---------:|------:|----------------:|-----------------:|'
    jq -r '.lanes[] | [.name, .ours_us, .peers.nginx, .ratio_nginx, .details.ours.requests_per_second, .details.nginx.requests_per_second] | @tsv' "$1" |
        while read -r lane ours nginx ratio ours_rate nginx_rate; do
            printf '| %-8s | %7.1f | %8.1f | %5.2f | %15s | %16s |\n' "$lane" "$ours" "$nginx" "$ratio" "$ours_rate" "$nginx_rate"
        done
    echo
}
