# shellcheck shell=bash
# What deploy/bin/scan looks at, and the rules. The caller sets folder, output, overlay, profile and sslyze.
# shellcheck disable=SC2154,SC2034 # those, and `gateway`
#
# Rules that were read, and what they want for the best grade:
#   Mozilla HTTP Observatory, algorithm version 4 (@mdn/mdn-http-observatory 1.4.8, src/grader/charts.js and src/analyzer/tests):
#     A+ from 100 points on; here every rule that takes some of the 100 away and can be met by an answer of any kind, and the four
#     that add to them (30 points: nothing but a lost one of the others could be hidden behind them, so none may be lost).
#   securityheaders.com (its grading as published by its author, scotthelme.co.uk): A+ for the six fields, with a
#     Content-Security-Policy that allows nothing unsafe.
#   SSL Labs, SSL Server Rating Guide (2009r): A+ asks for HSTS of half a year or more, beside the TLS that sslyze looks at.
#   OWASP Secure Headers Project: nothing that tells what software runs; no answer to a refusal is stored.
# The Observatory's own program scans public hosts on ports 80 and 443 only, and answers of 200 only: hence its rules here.

# Every kind of answer that is looked at: its name, the status, and curl's arguments with {https} and {http} for the listeners.
# `docs` is a page for browsers. The last one needs an API that is gone.
KINDS=(
    "ok 200 {https}/health"
    "docs 200 {https}/docs"
    "redirect 308 {http}/v1/todos?limit=1"
    "path 400 --path-as-is {https}/v1/../v1/todos"
    "malformed 400 --header Content-Length:x {https}/v1/todos"
    "token 401 {https}/v1/todos"
    "missing 404 {https}/nothing"
    "method 405 --request PUT {https}/v1/todos"
    "body 413 --header Expect: --data-binary @{large} {https}/v1/todos"
    "target 414 {https}/{long}"
    "misdirected 421 --header Host:foreign.example {https}/"
    "head 431 --header X:{large_field} {https}/"
    "unspoken 501 --request OPTIONS --request-target * {https}/"
    "unreachable 502 {https}/v1/todos"
)

# An authority, and a certificate of it that lives for 90 days: P-256, as the profile wants it.
make_certificate() {
    {
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 -subj '/CN=Scan authority' \
            -addext keyUsage=critical,keyCertSign -keyout "$folder/ca.key" -out "$folder/ca.pem" &&
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -keyout "$folder/key.pem" -out "$folder/request.pem" &&
            openssl x509 -req -in "$folder/request.pem" -CA "$folder/ca.pem" -CAkey "$folder/ca.key" -CAcreateserial -days 90 -sha256 \
                -extfile <(printf 'subjectAltName=DNS:localhost\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\nauthorityKeyIdentifier=keyid\n') \
                -out "$folder/leaf.pem"
    } >"$folder/openssl.log" 2>&1 || fail "openssl could not make a certificate: $(tail -n 1 "$folder/openssl.log")"
    cat "$folder/leaf.pem" "$folder/ca.pem" >"$folder/chain.pem"
}

start_tiers() {
    local variable
    for variable in https_port http_port admin_port api_port api_admin_port; do free_port "$variable"; done
    for variable in "${!TODO_@}"; do unset "$variable"; done
    env TODO_ENVIRONMENT=development TODO_API__SERVER__LISTEN="127.0.0.1:$api_port" TODO_API__ADMIN__LISTEN="127.0.0.1:$api_admin_port" \
        TODO_API__DATABASE__URL="sqlite://$folder/todo.sqlite" target/debug/todo-api run >"$folder/api.log" 2>&1 &
    api=$!
    {
        printf '[[tls.certificates]]\nchain = "%s"\nkey = "%s"\n' "$folder/chain.pem" "$folder/key.pem"
        [[ -z $overlay ]] || cat "$overlay"
    } >"$folder/gateway.toml"
    # Not in the file, where a table stands once and the overlay may have it. sslyze shakes hands many hundred times at once: what
    # the gateway turns away it would take for a version, a suite or a group that is not spoken.
    env TODO_ENVIRONMENT=staging TODO_GATEWAY__HOSTS__TRUSTED=localhost:* TODO_GATEWAY__CONNECTIONS__MAX_HANDSHAKES=100000 \
        TODO_GATEWAY__CONNECTIONS__MAX_HANDSHAKES_PER_ADDRESS=100000 TODO_GATEWAY__CONNECTIONS__MAX_PER_ADDRESS=2000 \
        TODO_GATEWAY__LISTEN__HTTPS="127.0.0.1:$https_port" TODO_GATEWAY__LISTEN__HTTP="127.0.0.1:$http_port" \
        TODO_GATEWAY__ADMIN__LISTEN="127.0.0.1:$admin_port" TODO_GATEWAY__UPSTREAMS__API__ADDRESSES="127.0.0.1:$api_port" \
        target/debug/todo-gateway run --config "$folder/gateway.toml" >"$folder/gateway.log" 2>&1 &
    gateway=$!
    wait_until 30 curl --silent --fail --cacert "$folder/ca.pem" --max-time 2 "https://localhost:$https_port/readyz" && return
    tail -n 5 "$folder/api.log" "$folder/gateway.log" >&2
    fail "the service did not become ready, see above"
}

stop() { # process id, or nothing
    [[ -n $1 ]] && kill -TERM "$1" 2>/dev/null || return 0
    timeout 10 tail --pid="$1" --follow /dev/null || kill -KILL "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

scan_tls() {
    echo "sslyze: Mozilla's $profile profile"
    if ! timeout 180 "$sslyze" --mozilla_config="$profile" --certinfo_ca_file="$folder/ca.pem" --json_out="$output/tls.json" --sni localhost \
        "127.0.0.1:$https_port" >"$output/tls.txt" 2>&1; then
        sed -n '/COMPLIANCE AGAINST/,$p' "$output/tls.txt" >&2
        grep -q 'FAILED - Not compliant' "$output/tls.txt" || fail "scan: sslyze did not come to a verdict, see $output/tls.txt"
        fail "scan: sslyze finds the gateway not compliant with Mozilla's $profile profile, see $output/tls.txt"
    fi
    # It must have looked: a scan of nothing finds nothing.
    grep -q 'OK - Compliant' "$output/tls.txt" || fail "scan: sslyze did not come to a verdict, see $output/tls.txt"
    ! grep -q '"reason":"connections_exceeded"' "$folder/gateway.log" || fail "scan: the gateway turned sslyze away, which saw only some of its TLS"
    echo "  compliant"
}

scan_answers() {
    local kind name status arguments version
    head --bytes 300000 /dev/zero | tr '\0' a >"$folder/large"
    for kind in "${KINDS[@]}"; do
        read -r name status arguments <<<"$kind"
        if [[ $name == unreachable ]]; then
            stop "$api"
            api=''
        fi
        for version in http1.1 http2; do
            # What h2 or its clients cannot express.
            [[ $version == http1.1 || ! $name =~ ^(redirect|malformed|unspoken)$ ]] || continue
            ask "$name" "$status" "$arguments" "$version"
            cp "$folder/head" "$output/$name.$version.txt"
            check_answer "$name" "$version"
        done
        echo "  $status $name"
    done
}

# Leaves the head of an answer in `head`, names in lower case.
ask() { # name, status, curl's arguments, version
    local words word status
    read -ra words <<<"$3"
    for word in "${!words[@]}"; do
        words[word]=${words[word]//\{https\}/https://localhost:$https_port}
        words[word]=${words[word]//\{http\}/http://localhost:$http_port}
        words[word]=${words[word]//\{large\}/$folder/large}
        words[word]=${words[word]//\{long\}/$(printf 'a%.0s' {1..9000})}
        words[word]=${words[word]//\{large_field\}/$(printf 'a%.0s' {1..40000})}
    done
    curl --silent --show-error --cacert "$folder/ca.pem" "--$4" --max-time 20 --dump-header "$folder/dump" --output "$folder/body" "${words[@]}" \
        2>"$folder/curl.log" || [[ -s $folder/dump ]] || fail "scan: $1 over $4 got no answer: $(tail -n 1 "$folder/curl.log")"
    tr -d '\r' <"$folder/dump" | awk 'NR > 1 && NF {name = tolower($1); sub(/^[^:]*: */, ""); print name " " $0} NR == 1 {print}' >"$folder/head"
    status=$(awk 'NR == 1 {print $2}' "$folder/head")
    [[ $status == "$2" ]] || fail "scan: $1 over $4 was answered with $status instead of $2"
}

# The value of a field; nothing where it is not there. Two of a kind are a value with a comma, as RFC 9110 5.3 has it.
value_of() { # field
    sed -n "s/^$1: //p" "$folder/head" | paste -sd ,
}

# Holds an answer against every rule.
check_answer() { # name, version
    local name=$1 version=$2 field hsts csp
    wrong() { # sentence
        fail "scan: the answer '$name' over $version $1; its head is in $output/$name.$version.txt"
    }
    csp=$(value_of content-security-policy) hsts=$(value_of strict-transport-security)

    # Observatory: csp-implemented-with-no-unsafe-default-src-none (+10), x-frame-options-implemented-via-csp (+5).
    [[ $csp =~ default-src\ \'none\' && $csp =~ form-action\ \'(none|self)\' && ! $csp =~ unsafe-|data:|http:|\* && $csp != *,* ]] ||
        wrong "has a Content-Security-Policy that is not the strictest: '$csp'"
    [[ $csp =~ frame-ancestors\ \'(none|self)\' ]] || wrong "may be framed: '$csp'"
    # Observatory: referrer-policy-private (+5), cross-origin-resource-policy-implemented-with-same-origin (+10).
    [[ $(value_of referrer-policy) =~ ^(no-referrer|same-origin|strict-origin|strict-origin-when-cross-origin)$ ]] ||
        wrong "tells others where its readers come from: referrer-policy '$(value_of referrer-policy)'"
    [[ $(value_of cross-origin-resource-policy) =~ ^same-(origin|site)$ ]] || wrong "may be loaded by any site"
    # Observatory: each of these costs points where it is missing. securityheaders.com: each costs a grade.
    [[ $(value_of x-content-type-options) == nosniff ]] || wrong "has no X-Content-Type-Options: nosniff"
    [[ $(value_of x-frame-options) =~ ^(DENY|SAMEORIGIN)$ ]] || wrong "has no X-Frame-Options"
    [[ -n $(value_of permissions-policy) ]] || wrong "has no Permissions-Policy"
    # Observatory: cross-origin-resource-sharing-implemented-with-universal-access costs 50, cookies without their flags 5 to 30.
    [[ $(value_of access-control-allow-origin) != '*' ]] || wrong "is open to scripts of every site"
    [[ -z $(value_of set-cookie) ]] || wrong "sets a cookie, for which there is no rule here yet"
    if [[ $name == redirect ]]; then
        # Observatory: redirection-to-https at once and on the same host. RFC 6797 7.2: no HSTS without TLS.
        [[ $(value_of location) == https://localhost:* ]] || wrong "does not lead to TLS on the same host: '$(value_of location)'"
        [[ -z $hsts ]] || wrong "has Strict-Transport-Security without TLS"
    else
        # Observatory 15552000, SSL Labs and securityheaders.com half a year.
        [[ $hsts =~ ^max-age=([0-9]+)(\;|$) && ${BASH_REMATCH[1]} -ge 15768000 ]] || wrong "has no Strict-Transport-Security of half a year: '$hsts'"
    fi
    # OWASP Secure Headers Project.
    for field in server x-powered-by x-aspnet-version x-runtime x-generator; do
        [[ -z $(value_of "$field") ]] || wrong "tells what runs here: $field"
    done
    [[ $(value_of cross-origin-opener-policy) == same-origin ]] || wrong "shares its browsing context"
    [[ $name =~ ^(ok|docs)$ || $(value_of cache-control) =~ no-store ]] || wrong "may be stored: cache-control '$(value_of cache-control)'"
}
