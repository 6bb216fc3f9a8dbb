# shellcheck shell=bash disable=SC2154 # what is not set here is set by who sources this
# What deploy/bin/health-check looks at in a cluster: as many processes as are wanted are ready, and each says so itself.
# The database and its schema are what makes a replica ready.

[[ $environment == staging || $environment == production ]] || fail "--target kubernetes needs --environment staging or production"
: "${namespace:=todo-$environment}"
# What the machine has comes first.
PATH=$PATH:$PWD/target/tools/bin
require kubectl jq

check_target() {
    local tier wanted ready
    for tier in api gateway; do
        if ! kubectl --namespace "$namespace" --request-timeout=10s get deployment "todo-platform-$tier" --output json >"$work/deployment" 2>"$work/error"; then
            bad "$tier" "$(head -n 1 "$work/error")"
            continue
        fi
        read -r wanted ready < <(jq -r '"\(.spec.replicas) \([.status.readyReplicas, .status.updatedReplicas, .status.availableReplicas] | map(. // 0) | min)"' "$work/deployment")
        if ((ready >= wanted)); then good "$tier" "$ready of $wanted are ready and of this version"; else bad "$tier" "$ready of $wanted are ready and of this version"; fi
        if kubectl --namespace "$namespace" --request-timeout=20s exec "deployment/todo-platform-$tier" -- "/usr/local/bin/todo-$tier" health --config "/etc/todo/$tier.toml" >"$work/said" 2>&1; then
            good "$tier" "says that it is ready"
        else
            bad "$tier" "$(tail -n 1 "$work/said")"
        fi
    done
}
