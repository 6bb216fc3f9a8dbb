# shellcheck shell=bash
# The parts of the stack: how each is started, ended, and asked whether it is ready. What they have in common with
# production: the environment `production`, a database that is reached over verified TLS, secrets in files, three API
# replicas, two gateways.

TIERS=(api-1 api-2 api-3 gateway-1 gateway-2)
# shellcheck disable=SC2034 # used by who sources this
PARTS=(postgres redis "${TIERS[@]}" prometheus)

# The variable's value whose name is made of a part's: `setting api-2 ADMIN_PORT` is $STACK_API_2_ADMIN_PORT.
setting() { # part, suffix
    local name=${1//-/_}
    name="STACK_${name^^}_$2"
    echo "${!name}"
}

start_part() { # part
    case "$1" in
        postgres) start_postgres ;;
        redis) launch redis redis-server "$STACK/redis/redis.conf" ;;
        api-? | gateway-?) start_tier "$1" ;;
        prometheus)
            launch prometheus prometheus --config.file="$STACK/prometheus/prometheus.yml" --storage.tsdb.path="$STACK/prometheus/data" \
                --web.listen-address="127.0.0.1:$STACK_PROMETHEUS_PORT" --web.enable-lifecycle --storage.tsdb.retention.time=2d --log.level=warn
            ;;
    esac
}

stop_part() { # part
    case "$1" in
        # SIGINT is its fast shutdown; SIGTERM would wait for its clients.
        postgres) end "$1" INT 60 ;;
        *) end "$1" TERM 60 ;;
    esac
}

part_is_ready() { # part
    running "$1" >/dev/null || return 1
    case "$1" in
        postgres) database_query 'SELECT 1' ;;
        redis) REDISCLI_AUTH=$(cat "$STACK/secrets/redis-password") redis-cli -p "$STACK_REDIS_PORT" ping | grep -q PONG ;;
        prometheus) curl --silent --fail --max-time 2 --output /dev/null "http://127.0.0.1:$STACK_PROMETHEUS_PORT/-/ready" ;;
        *) curl --silent --fail --max-time 2 --output /dev/null "http://127.0.0.1:$(setting "$1" ADMIN_PORT)/readyz" ;;
    esac
}

# Fails with the last words of the part when it does not become ready.
await_part() { # part, seconds
    local deadline=$((SECONDS + ${2:-30}))
    until part_is_ready "$1" >/dev/null 2>&1; do
        if ! running "$1" >/dev/null || ((SECONDS >= deadline)); then
            tail -n 5 "$STACK/logs/$1.log" >&2
            echo "$1 did not become ready; its log is $STACK/logs/$1.log" >&2
            return 1
        fi
        sleep 0.1
    done
}

# Starts a process beside a gateway that runs; it takes the sockets over, and no client notices. When it fails, the one that
# ran goes on.
upgrade_part() { # part, seconds
    local file=$STACK/run/$1.pid before started deadline=$((SECONDS + $2))
    if ! running "$1" >/dev/null; then
        start_part "$1"
        await_part "$1" "$2"
        return
    fi
    read -r before started <"$file"
    start_part "$1"
    # The one that ran ends when it was relieved.
    while [[ $(started_at "$before") == "$started" ]]; do
        if ! running "$1" >/dev/null || ((SECONDS >= deadline)); then
            end "$1" TERM 10 || true
            echo "$before $started" >"$file"
            tail -n 5 "$STACK/logs/$1.log" >&2
            echo "$1 was not relieved and goes on; its log is $STACK/logs/$1.log" >&2
            return 1
        fi
        sleep 0.1
    done
    await_part "$1" "$2"
}

# Runs a statement as the owner of the schema, the way the API connects.
database_query() { # statement
    PGSERVICEFILE=$STACK/secrets/pg_service.conf PGCONNECT_TIMEOUT=2 psql --no-psqlrc --quiet --tuples-only --no-align --command "$1" service=todo
}

# PostgreSQL refuses to run as root: there, its own user runs it.
as_postgres() { # command...
    # In a folder that everybody may enter: it complains about others.
    cd /
    if [[ $(id -u) == 0 ]]; then
        exec setpriv --reuid=postgres --regid=postgres --clear-groups "$@"
    fi
    exec "$@"
}

start_postgres() {
    launch postgres as_postgres "$(postgres_programs)/postgres" -D "$STACK/postgres/data"
}

# Debian keeps the server's programs out of PATH.
postgres_programs() {
    local found
    found=$(compgen -G '/usr/lib/postgresql/*/bin/initdb' | sort --version-sort | tail -n 1)
    [[ -n $found ]] || found=$(command -v initdb) || fail "PostgreSQL is missing: apt-get install postgresql"
    dirname "$found"
}

# The version that a part runs, or is to run when it is started.
version_of() { # part
    cat "$STACK/run/$1.version"
}

# Becomes a tier's command with the configuration of a part: the variables of its file, and nothing of the caller's.
tier() { # part, version, command...
    local part=$1 version=$2 binary=todo-api arguments=() variables
    shift 2
    if [[ $part == gateway-* ]]; then
        binary=todo-gateway
        arguments=(--config "$STACK/config/$part.toml")
    fi
    mapfile -t variables <"$STACK/config/$part.env"
    exec env --ignore-environment "${variables[@]}" "$STACK/releases/$version/$binary" "$@" "${arguments[@]}"
}

start_tier() { # part
    launch "$1" tier "$1" "$(version_of "$1")" run
}

# Where a part is found.
address_of() { # part
    case "$1" in
        gateway-?) echo "https://localhost:$(setting "$1" HTTPS_PORT)" ;;
        api-? | prometheus) echo "http://127.0.0.1:$(setting "$1" PORT)" ;;
        *) echo "127.0.0.1:$(setting "$1" PORT)" ;;
    esac
}
