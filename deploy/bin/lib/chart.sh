# shellcheck shell=bash
# The chart and the Helm that renders it. Sourced from the project's folder, after common.sh.

CHART=deploy/helm/todo-platform

# Sets HELM to the program of `make tools`, or to what the caller has set. Another major version renders other text.
find_helm() {
    local version
    : "${HELM:=target/tools/bin/helm}"
    command -v "$HELM" >/dev/null || fail "helm is missing: run 'make tools', or name it with HELM=..."
    version=$("$HELM" version --template '{{.Version}}' 2>/dev/null) || version='of an unknown version'
    [[ $version == v4.* ]] || fail "$HELM is $version and the chart is made for helm v4: run 'make tools', or name another with HELM=..."
}

# Prints the manifests of a release named todo-platform; fails with one sentence.
render_chart() { # values file, namespace, more arguments of helm...
    local values=$1 namespace=$2 words status=0
    shift 2
    [[ -f $values ]] || fail "there is no values file $values"
    words=$(mktemp)
    "$HELM" template todo-platform "$CHART" --namespace "$namespace" --values "$values" "$@" 2>"$words" || status=$?
    ((status == 0)) || complaint "$values" "$words" >&2
    rm -f "$words"
    return "$status"
}

# Helm's words about a values file as one sentence that also says what could have been written.
complaint() { # values file, file with the words
    local line place known sentences=()
    while IFS= read -r line; do
        if [[ $line =~ ^-\ at\ \'(.*)\':\ (.*)$ ]]; then
            place=${BASH_REMATCH[1]}
            line="${place:-/}: ${BASH_REMATCH[2]}"
            known=$(known_values "$place")
            [[ $line != *'additional properties'* || -z $known ]] || line+=" (known there: $known)"
            sentences+=("$line")
        elif [[ $line =~ ^Error:\ (.*)$ && $line != *'specifications of the schema'* ]]; then
            line=${BASH_REMATCH[1]}
            sentences+=("${line##*templates/*): }")
        fi
    done <"$2"
    ((${#sentences[@]})) || sentences=("helm cannot render it: $(tail -n 1 "$2")")
    local IFS=$'\n'
    printf '%s: %s\n' "$1" "$(paste --serial --delimiters=';' <<<"${sentences[*]}" | sed 's/;/; /g')"
}

# The names that the schema knows at a place such as /api/autoscaling.
known_values() { # place
    jq --raw-output --arg place "$1" '
        .definitions as $definitions
        | def resolved: if has("$ref") then $definitions[."$ref" | ltrimstr("#/definitions/")] else . end;
        reduce ($place | split("/")[1:][]) as $name (.; resolved | (.properties[$name] // .items))
        | resolved | .properties // {} | keys_unsorted | join(", ")' "$CHART/values.schema.json"
}
