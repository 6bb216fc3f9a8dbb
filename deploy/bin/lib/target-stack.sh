# shellcheck shell=bash
# The target `stack`: the processes that deploy/bin/stack started. A release is a folder with both binaries, as an image is
# elsewhere. `releases/current` and `previous` say what served, `run/rollout` that a roll-out is under way.

: "${STACK:=var/stack}"
[[ $STACK == /* ]] || STACK=$PWD/$STACK
[[ -f $STACK/stack.env ]] || fail "there is no stack in $STACK: start one with deploy/bin/stack up"
for library in database processes parts; do
    # shellcheck source=/dev/null
    . "deploy/bin/lib/$library.sh"
done
# shellcheck source=/dev/null
. "$STACK/stack.env"

# How long the gateways may take to believe in a replica that is ready.
TRUST_TIMEOUT=30

# One roll-out at a time, and none while deploy/bin/stack starts or stops everything; the lock goes with the process.
target_lock() {
    require flock curl psql
    exec {lock}<"$STACK"
    flock --nonblock "$lock" || fail "another roll-out works on $STACK, or deploy/bin/stack does: wait for it"
}

target_exists() { # version
    local binary
    for binary in todo-api todo-gateway; do
        [[ -x $STACK/releases/$1/$binary ]] || fail "release $1 is not in $STACK/releases: add it with deploy/bin/stack release $1 DIR"
    done
}

# Everything that can be known before anything is changed.
target_inspect() { # version
    local part said current
    target_exists "$1"
    [[ ! -f $STACK/run/rollout ]] || fail "a roll-out was cut off ($(<"$STACK/run/rollout")): finish it with deploy/bin/rollback --target stack"
    for part in api-1 gateway-1; do
        said=$(tier "$part" "$1" check 2>&1) || fail "$1 does not accept the configuration of $part: $(head -n 1 <<<"$said")"
    done
    current=$(target_version)
    for part in "${TIERS[@]}"; do
        part_is_ready "$part" >/dev/null 2>&1 || fail "$part is not ready: a roll-out begins with everything in order (deploy/bin/stack status)"
        [[ $(version_of "$part") == "$current" ]] ||
            fail "$part runs $(version_of "$part"), and $current should serve: put it in order with deploy/bin/rollback --target stack $current"
    done
}

target_version() {
    cat "$STACK/releases/current"
}

# During a roll-out that was cut off, the version that it began with.
target_previous() {
    if [[ -f $STACK/run/rollout ]]; then
        read -r before _ <"$STACK/run/rollout"
        echo "$before"
    else
        cat "$STACK/releases/previous" 2>/dev/null || true
    fi
}

target_migrate() { # version
    echo "migrating the database"
    (tier api-1 "$1" migrate)
}

# What is cut off from here on ends, by a roll-back, at the first of the two versions.
target_begin() { # version to go back to, the other one
    echo "$1 $2" >"$STACK/run/rollout.new"
    mv "$STACK/run/rollout.new" "$STACK/run/rollout"
}

target_end() { # version
    local current
    current=$(target_version)
    if [[ $current != "$1" ]]; then
        # What was gone back from is nothing to go back to.
        if [[ ${going_back:-} ]]; then rm -f "$STACK/releases/previous"; else echo "$current" >"$STACK/releases/previous"; fi
        echo "$1" >"$STACK/releases/current"
    fi
    rm -f "$STACK/run/rollout"
}

# A version is the whole of it: the processes' configuration is the stack's own.
target_unchanged() { # version
    :
}

# Replaces every process that does not run this version, or is not ready, by one that does.
target_replace() { # version
    local part
    for part in "${TIERS[@]}"; do
        if [[ $(version_of "$part") == "$1" ]] && part_is_ready "$part" >/dev/null 2>&1; then
            continue
        fi
        echo "  $part: $(version_of "$part") -> $1"
        if [[ $part == gateway-* ]]; then
            echo "$1" >"$STACK/run/$part.version"
            upgrade_part "$part" "$DEPLOY_READY_TIMEOUT" || return 1
            continue
        fi
        stop_part "$part" || return 1
        echo "$1" >"$STACK/run/$part.version"
        start_part "$part"
        await_part "$part" "$DEPLOY_READY_TIMEOUT" || return 1
        # The next one is stopped only when this one gets requests again.
        wait_until "$TRUST_TIMEOUT" gateways_trust "$part" || return 1
    done
}

# Going back is going forward to another version.
target_back() { # version
    going_back=true
    target_replace "$1"
}

# Whether each gateway that is ready sends requests to a replica.
gateways_trust() { # part
    local gateway
    for gateway in gateway-{1,2}; do
        part_is_ready "$gateway" >/dev/null 2>&1 || continue
        metrics "$gateway" | grep -q "^gateway_upstream_healthy{address=\"127.0.0.1:$(setting "$1" PORT)\".*} 1$" || return 1
    done
}

metrics() { # part
    curl --silent --fail --max-time 2 --header @<(echo "Authorization: Bearer $(<"$STACK_ADMIN_TOKEN_FILE")") \
        "http://127.0.0.1:$(setting "$1" ADMIN_PORT)/metrics"
}
