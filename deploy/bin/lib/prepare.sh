# shellcheck shell=bash
# Everything the stack needs before its first process: folders, secrets, certificates, configuration, an empty database.

# Ports, as `part suffix`. A port given in the environment is taken as it is.
PORTS=(POSTGRES_PORT REDIS_PORT PROMETHEUS_PORT
    API_1_PORT API_1_ADMIN_PORT API_2_PORT API_2_ADMIN_PORT API_3_PORT API_3_ADMIN_PORT
    GATEWAY_1_HTTPS_PORT GATEWAY_1_HTTP_PORT GATEWAY_1_ADMIN_PORT GATEWAY_2_HTTPS_PORT GATEWAY_2_HTTP_PORT GATEWAY_2_ADMIN_PORT)

choose_ports() {
    local name port seen=' '
    for port in "${PORTS[@]}"; do
        name=STACK_$port
        if [[ -z ${!name:-} ]]; then
            free_port "$name"
        fi
        [[ ${!name} =~ ^[1-9][0-9]{0,4}$ && ${!name} -le 65535 ]] || fail "$name=${!name} is not a port: give a number from 1 to 65535"
        if taken "${!name}"; then
            # Its configuration was written when it was made.
            [[ ! -f $STACK/stack.env ]] || fail "port ${!name} is taken: stop what listens there; the stack in $STACK keeps the ports that it was made with"
            fail "port ${!name} is taken: stop what listens there, or choose another with $name=..."
        fi
        [[ $seen != *" ${!name} "* ]] || fail "port ${!name} is given twice: every listener needs one of its own"
        seen+="${!name} "
    done
}

make_folders() {
    mkdir -p "$STACK" 2>/dev/null || fail "cannot make the folder $STACK: choose another with STACK=..."
    lock_stack
    [[ ! -f $STACK/stack.env ]] || fail "the stack in $STACK was started meanwhile: see deploy/bin/stack status"
    # What is somebody else's is not changed, and not removed by `delete` either.
    [[ -z $(ls -A "$STACK") ]] || fail "$STACK is not empty and holds no stack: choose another folder with STACK=..."
    : >"$STACK/unfinished"
    # The user that runs PostgreSQL must come through; what is secret has a folder that only the owner enters.
    chmod 711 "$STACK"
    mkdir -p "$STACK"/{run,logs,config,releases,redis,postgres,prometheus}
    (umask 077 && mkdir -p "$STACK"/{secrets,tls})
}

make_secrets() {
    local folder=$STACK/secrets name key
    umask 077
    for name in database-password redis-password admin-token; do
        openssl rand -hex 24 >"$folder/$name"
    done
    key=$(openssl rand -base64 32)
    echo "1:$key" >"$folder/key-ring"
    echo "postgres://todo:$(cat "$folder/database-password")@localhost:$STACK_POSTGRES_PORT/todo?sslmode=verify-full&sslrootcert=$STACK/tls/ca.pem" >"$folder/database-url"
    echo "redis://:$(cat "$folder/redis-password")@127.0.0.1:$STACK_REDIS_PORT" >"$folder/redis-url"
    write_service "$folder/database-url" "$folder/pg_service.conf"
    umask 022
}

# A certification authority for this stack, and a certificate for what listens on localhost.
make_certificates() {
    local folder=$STACK/tls
    {
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj '/CN=todo stack CA' \
            -addext 'keyUsage=critical,keyCertSign,cRLSign' -keyout "$folder/ca-key.pem" -out "$folder/ca.pem"
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN=localhost' -keyout "$folder/key.pem" -out "$folder/request.pem"
        openssl x509 -req -in "$folder/request.pem" -CA "$folder/ca.pem" -CAkey "$folder/ca-key.pem" -days 30 -out "$folder/leaf.pem" \
            -extfile <(printf '%s\n' 'subjectAltName=DNS:localhost,IP:127.0.0.1' 'extendedKeyUsage=serverAuth' 'basicConstraints=critical,CA:FALSE')
    } 2>"$STACK/logs/openssl.log" || fail "openssl could not make certificates; its words are in $STACK/logs/openssl.log"
    cat "$folder/leaf.pem" "$folder/ca.pem" >"$folder/chain.pem"
    rm "$folder/request.pem" "$folder/leaf.pem"
}

make_database() {
    local folder=$STACK/postgres programs
    programs=$(postgres_programs)
    [[ $(id -u) != 0 ]] || chown postgres: "$folder"
    (as_postgres test -x "$folder") || fail "the user postgres cannot enter $folder: choose another folder with STACK=..."
    (as_postgres "$programs/initdb" --auth-local=trust --auth-host=scram-sha-256 --username=postgres --encoding=UTF8 --locale=C.UTF-8 \
        --no-sync -D "$folder/data") >"$STACK/logs/initdb.log" 2>&1 || fail "initdb failed; its words are in $STACK/logs/initdb.log"
    cp "$STACK/tls/chain.pem" "$folder/server.pem"
    cp "$STACK/tls/key.pem" "$folder/server-key.pem"
    cat >>"$folder/data/postgresql.conf" <<END
listen_addresses = '127.0.0.1'
port = $STACK_POSTGRES_PORT
unix_socket_directories = '$folder'
max_connections = 100
ssl = on
ssl_cert_file = '$folder/server.pem'
ssl_key_file = '$folder/server-key.pem'
END
    # Over the network only with TLS and a password; the socket stands in a folder of the server's own user.
    printf '%s\n' 'local all postgres trust' 'hostssl all all 127.0.0.1/32 scram-sha-256' >"$folder/data/pg_hba.conf"
    chmod 700 "$folder"
    [[ $(id -u) != 0 ]] || chown -R postgres: "$folder"
}

# The role that owns the schema, and its empty database.
make_role() {
    wait_until 60 psql_as_superuser --command 'SELECT 1' || { tail -n 5 "$STACK/logs/postgres.log" >&2; fail "PostgreSQL did not start; its log is $STACK/logs/postgres.log"; }
    # From standard input: an argument could be read in the list of processes.
    psql_as_superuser --file - >/dev/null <<<"CREATE ROLE todo LOGIN PASSWORD '$(cat "$STACK/secrets/database-password")'; CREATE DATABASE todo OWNER todo;" ||
        fail "the database could not be made; the log is $STACK/logs/postgres.log"
}

psql_as_superuser() {
    psql --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 --host "$STACK/postgres" --port "$STACK_POSTGRES_PORT" --username postgres "$@"
}

make_redis() {
    local configuration=$STACK/redis/redis.conf
    (umask 077 && cat >"$configuration") <<END
bind 127.0.0.1
port $STACK_REDIS_PORT
dir $STACK/redis
appendonly yes
maxmemory 256mb
requirepass $(cat "$STACK/secrets/redis-password")
END
}

# What an operator would write for a replica: the variables of config/production/.env.example that have to be set.
make_api() { # part
    cat >"$STACK/config/$1.env" <<END
TODO_ENVIRONMENT=production
TODO_API__SERVER__STOP_DELAY=2s
TODO_API__SERVER__LISTEN=127.0.0.1:$(setting "$1" PORT)
TODO_API__ADMIN__LISTEN=127.0.0.1:$(setting "$1" ADMIN_PORT)
TODO_API__ADMIN__TOKEN_FILE=$STACK/secrets/admin-token
TODO_API__DATABASE__URL_FILE=$STACK/secrets/database-url
TODO_API__AUTH__ISSUER=https://localhost:$STACK_GATEWAY_1_HTTPS_PORT
TODO_API__AUTH__KEY_RING_FILE=$STACK/secrets/key-ring
END
}

make_gateway() { # part
    cat >"$STACK/config/$1.env" <<END
TODO_ENVIRONMENT=production
TODO_GATEWAY__SERVER__STOP_DELAY=2s
TODO_GATEWAY__ADMIN__TOKEN_FILE=$STACK/secrets/admin-token
END
    cat >"$STACK/config/$1.toml" <<END
[server]
upgrade_socket = "$STACK/run/$1.sock"

[listen]
https = "127.0.0.1:$(setting "$1" HTTPS_PORT)"
http = "127.0.0.1:$(setting "$1" HTTP_PORT)"

[admin]
listen = "127.0.0.1:$(setting "$1" ADMIN_PORT)"

[hosts]
trusted = ["localhost:*"]

[[tls.certificates]]
chain = "$STACK/tls/chain.pem"
key = "$STACK/tls/key.pem"

[connections]
# Load comes from one address here.
max_per_address = 5000
max_per_network = 5000
max_handshakes_per_address = 2000

[upstreams.api]
# Drills should not wait for it.
health_interval = "500ms"
addresses = ["127.0.0.1:$STACK_API_1_PORT", "127.0.0.1:$STACK_API_2_PORT", "127.0.0.1:$STACK_API_3_PORT"]
END
}

make_prometheus() {
    local folder=$STACK/prometheus
    cp -r deploy/monitoring/prometheus/. "$folder"
    sed -i -E "s/^( *(scrape|evaluation)_interval:).*/\1 ${STACK_SCRAPE_INTERVAL:-1s}/; s/^( *scrape_timeout:).*/\1 ${STACK_SCRAPE_INTERVAL:-1s}/" "$folder/prometheus.yml"
    (umask 077 && cp "$STACK/secrets/admin-token" "$folder/admin-token")
    mkdir -p "$folder/targets"
    targets() { # tier, addresses
        printf -- '- targets: [%s]\n  labels: {tier: %s}\n' "$2" "$1" >"$folder/targets/$1.yml"
    }
    targets api "'127.0.0.1:$STACK_API_1_ADMIN_PORT', '127.0.0.1:$STACK_API_2_ADMIN_PORT', '127.0.0.1:$STACK_API_3_ADMIN_PORT'"
    targets gateway "'127.0.0.1:$STACK_GATEWAY_1_ADMIN_PORT', '127.0.0.1:$STACK_GATEWAY_2_ADMIN_PORT'"
}

# `stack.env`: where everything is, for people, tests and tools.
write_settings() {
    local port name
    {
        for port in "${PORTS[@]}"; do
            name=STACK_$port
            echo "$name='${!name}'"
        done
        cat <<END
STACK='$STACK'
STACK_URL='https://localhost:$STACK_GATEWAY_1_HTTPS_PORT'
STACK_URLS='https://localhost:$STACK_GATEWAY_1_HTTPS_PORT https://localhost:$STACK_GATEWAY_2_HTTPS_PORT'
STACK_CA='$STACK/tls/ca.pem'
STACK_DATABASE_URL_FILE='$STACK/secrets/database-url'
STACK_REDIS_URL='$(<"$STACK/secrets/redis-url")'
STACK_REDIS_URL_FILE='$STACK/secrets/redis-url'
STACK_PROMETHEUS_URL='http://127.0.0.1:$STACK_PROMETHEUS_PORT'
STACK_ADMIN_TOKEN_FILE='$STACK/secrets/admin-token'
STACK_KEY_RING_FILE='$STACK/secrets/key-ring'
END
    } >"$STACK/stack.env.new"
    chmod 600 "$STACK/stack.env.new"
    mv "$STACK/stack.env.new" "$STACK/stack.env"
    rm -f "$STACK/unfinished"
}
