# shellcheck shell=bash
# What deploy/bin/health-check looks at when it is pointed at the stack of this machine.

: "${STACK:=var/stack}"
[[ -f $STACK/stack.env ]] || fail "there is no stack in $STACK: start one with deploy/bin/stack up"
# shellcheck source=/dev/null
. "$STACK/stack.env"
# shellcheck disable=SC2034 # read by who sources this
{
    HEALTH_URLS=$STACK_URLS
    HEALTH_CA=$STACK_CA
    HEALTH_READY=''
    for port in "$STACK_API_1_ADMIN_PORT" "$STACK_API_2_ADMIN_PORT" "$STACK_API_3_ADMIN_PORT" "$STACK_GATEWAY_1_ADMIN_PORT" "$STACK_GATEWAY_2_ADMIN_PORT"; do
        HEALTH_READY+="http://127.0.0.1:$port "
    done
    HEALTH_DATABASE_URL_FILE=$STACK_DATABASE_URL_FILE
    HEALTH_REDIS_URL_FILE=$STACK_REDIS_URL_FILE
    HEALTH_DISK=$STACK
}

# Whether every part runs the version that should serve.
check_target() {
    local part version current
    current=$(<"$STACK/releases/current")
    if [[ -f $STACK/run/rollout ]]; then
        bad rollout "one was cut off ($(<"$STACK/run/rollout")): finish it with deploy/bin/rollback --target stack"
        return
    fi
    for part in api-{1,2,3} gateway-{1,2}; do
        version=$(<"$STACK/run/$part.version")
        if [[ $version != "$current" ]]; then
            bad rollout "$part runs $version, and $current should serve: deploy/bin/rollback --target stack $current"
            return
        fi
    done
    good rollout "every part runs $current"
}
