# shellcheck shell=bash disable=SC2154 # what is not set here is set by who sources this
# The target `kubernetes`: a Helm release in the cluster of the current context. The version is the images' tag; Helm keeps
# the revisions that a roll-back goes to, configuration and all, and lets one operation at a time work on a release.

# shellcheck source=/dev/null
. deploy/bin/lib/chart.sh
RELEASE=todo-platform
# Longer than the chart gives its migration (migrations.timeoutSeconds), which is part of an upgrade.
HELM_TIMEOUT=${DEPLOY_HELM_TIMEOUT:-15m}
# What the machine has comes first.
PATH=$PATH:$PWD/target/tools/bin

h() {
    helm --namespace "$namespace" "$@"
}

target_lock() {
    require helm kubectl jq
    kubectl --request-timeout=10s version >/dev/null 2>&1 || fail "the cluster of the context '$(kubectl config current-context 2>/dev/null)' does not answer: kubectl version"
}

# The state of the release: deployed, failed, pending-upgrade ...; nothing when there is none yet.
release_state() {
    local said
    if said=$(h status "$RELEASE" --output json 2>"$errors"); then
        jq -r .info.status <<<"$said"
    else
        # Whether there is a release is not to be guessed: without one there is nothing to go back to.
        grep -q 'not found' "$errors" || fail "helm cannot say how $RELEASE is: $(tail -n 1 "$errors")"
    fi
}

target_inspect() { # version
    local state
    [[ -r $CHART/values-$environment.yaml ]] || fail "there is no $CHART/values-$environment.yaml"
    state=$(release_state) || exit 1
    [[ $state == '' || -n $(good_revisions) ]] ||
        fail "the first installation of $RELEASE is $state, and there is nothing to go back to: remove it with helm uninstall $RELEASE --namespace $namespace"
    case "$state" in
        '' | deployed) ;;
        pending-*) fail "a roll-out was cut off ($state): finish it with deploy/bin/rollback --target kubernetes --environment $environment" ;;
        *) fail "the release is $state: put it in order with deploy/bin/rollback --target kubernetes --environment $environment" ;;
    esac
    rendered "$1" >/dev/null
}

# What would be applied; a mistake in the values ends here, before anything has changed.
rendered() { # version
    h template "$RELEASE" "$CHART" --values "$CHART/values-$environment.yaml" --set-string "image.tag=$1" ${IMAGE_REGISTRY:+--set-string "image.registry=$IMAGE_REGISTRY"} 2>"$errors" || fail "$(complaint "$CHART/values-$environment.yaml" "$errors")"
}
errors=$(mktemp)
trap 'rm -f "$errors"' EXIT

version_of_revision() { # revision; nothing for the current one
    h get values "$RELEASE" ${1:+--revision "$1"} --output json 2>/dev/null | jq -r '.image.tag // ""'
}

target_version() {
    local state
    state=$(release_state) || return 1
    [[ -z $state ]] || version_of_revision "$(good_revisions | head -n 1)"
}

# Revisions that once served, the newest first.
good_revisions() {
    h history "$RELEASE" --output json 2>/dev/null | jq -r 'sort_by(-.revision) | .[] | select(.status == "deployed" or .status == "superseded") | .revision'
}

# The version before the newest that served; when the newest attempt failed or was cut off, the newest that served. What was
# gone back from does not count: going back twice must not lead to it.
target_previous() {
    local revision current newest
    newest=$(h history "$RELEASE" --output json 2>/dev/null | jq -r '
        (map({key: "\(.revision)", value: (.description // "" | capture("^Rollback to (?<to>[0-9]+)$").to)}) | from_entries) as $back
        | def origin: if $back[.] then $back[.] | origin else . end;
        max_by(.revision).revision | tostring | origin')
    current=$(version_of_revision "$newest")
    for revision in $(good_revisions); do
        ((revision < newest)) || continue
        if [[ $(version_of_revision "$revision") != "$current" ]]; then
            version_of_revision "$revision"
            return
        fi
    done
}

target_exists() { # version
    [[ -n $(revision_of "$1") ]] || fail "no revision of $RELEASE in $namespace had the version $1: helm history $RELEASE --namespace $namespace"
}

revision_of() { # version
    local revision
    for revision in $(good_revisions); do
        if [[ $(version_of_revision "$revision") == "$1" ]]; then
            echo "$revision"
            return
        fi
    done
}

# The chart's hook migrates before Helm replaces anything.
target_migrate() { # version
    echo "the chart's hook migrates before anything is replaced"
}

target_begin() { # version to go back to, the other one
    echo "helm works on it, for $HELM_TIMEOUT at most"
}

# Fails with 3 when somebody else's roll-out works on the release: then nothing is ours to take back.
target_replace() { # version
    h upgrade --install "$RELEASE" "$CHART" --create-namespace --values "$CHART/values-$environment.yaml" --set-string "image.tag=$1" ${IMAGE_REGISTRY:+--set-string "image.registry=$IMAGE_REGISTRY"} \
        --description "$1" --wait --timeout "$HELM_TIMEOUT" --history-max 20 >&2 2>"$errors" && return
    cat "$errors" >&2
    ! grep -q 'another operation .* is in progress' "$errors" || return 3
    return 1
}

# The values may differ although the version is the same; Helm finds out, and replaces only what does.
target_unchanged() { # version
    return 1
}

target_back() { # version
    h rollback "$RELEASE" "$(revision_of "$1")" --wait --timeout "$HELM_TIMEOUT" --history-max 20 >&2
}

target_end() { # version
    :
}
