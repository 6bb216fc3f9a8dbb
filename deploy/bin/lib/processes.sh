# shellcheck shell=bash
# Processes that outlive the script which started them, and are ended by id: `run/<name>.pid` holds the id and the time
# at which the process started, so that a number that the system has given to somebody else is never signalled.

# The time a process started, in the kernel's ticks; nothing for a process that is not there.
started_at() { # process id
    # The name stands in parentheses and may hold anything: count from behind it.
    local stat fields
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    read -ra fields <<<"${stat##*) }"
    [[ ${fields[0]} != Z ]] && echo "${fields[19]}"
}

# Prints the id of a running part; fails when it is not running.
running() { # name
    local id started
    read -r id started 2>/dev/null <"$STACK/run/$1.pid" || return 1
    # One that had ended before it was looked at has no time.
    [[ -n $started && $(started_at "$id") == "$started" ]] && echo "$id"
}

# Starts a command, or a function that ends in `exec`, as a part of the stack; its output is appended to
# `logs/<name>.log`.
launch() { # name, command...
    local name=$1 id
    shift
    # Job control gives it a process group of its own: Ctrl-C in the terminal that started the stack is not meant for it.
    set -m
    (
        # A lock of the script's must end with the script.
        [[ -z ${lock:-} ]] || exec {lock}>&-
        "$@"
    ) </dev/null >>"$STACK/logs/$name.log" 2>&1 &
    id=$!
    set +m
    echo "$id $(started_at "$id")" >"$STACK/run/$name.pid"
}

# Signals a part and waits until it has ended.
end() { # name, signal, seconds
    local id
    id=$(running "$1") || { rm -f "$STACK/run/$1.pid"; return 0; }
    kill "-$2" "$id" 2>/dev/null || true
    wait_until "$3" not running "$1" || return 1
    rm -f "$STACK/run/$1.pid"
}

not() {
    ! "$@"
}
