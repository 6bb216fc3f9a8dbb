# shellcheck shell=bash
# What every script here says and waits with. Sourced from the project's folder.

# Ends the script with one sentence.
fail() {
    echo "$1" >&2
    exit 1
}

# Ends the script when a tool is missing.
require() { # tools...
    deploy/bin/require "$@" || exit 1
}

# A path as the caller meant it: OLDPWD is where the script was called, before it went to the project's folder.
absolute() { # path
    if [[ $1 == /* ]]; then echo "$1"; else echo "$OLDPWD/$1"; fi
}

# Runs a command until it succeeds; fails after so many seconds. What the command prints is dropped.
wait_until() { # seconds, command...
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < deadline)) || return 1
        sleep 0.1
    done
}

# Whether something listens on a loopback port.
taken() { # port
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# Sets a variable to a loopback port that nothing listens on and that no earlier call found. Below the range of outgoing
# connections, so that nobody's client takes it before it is bound.
free_port() { # name of the variable
    local tries=500
    while ((tries-- > 0)); do
        port_cursor=$(((${port_cursor:-$$ * 131} + 1) % 15000))
        taken $((15000 + port_cursor)) && continue
        printf -v "$1" %d $((15000 + port_cursor))
        return
    done
    fail "no free port was found between 15000 and 30000"
}
