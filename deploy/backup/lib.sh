# shellcheck shell=bash
# What a backup is, for those who make, keep, check and restore one. Sourced from the project's folder.
#
# A backup is two files: `todo-<UTC time>.dump`, pg_dump's custom format, and `todo-<UTC time>.manifest`, which says what the
# dump must look like. The manifest gets its name last: where it is, the backup is complete. Its lines are `name=value`; the
# first says the format, the last is the checksum of all lines before it.

FORMAT_LINE=todo-backup=1
NAME_PATTERN='^todo-([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})Z$'

PSQL=(psql --no-psqlrc --no-password --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 --file - service=todo)

# A folder for secrets and logs of this run, gone when it ends.
make_work() {
    umask 077
    work=$(mktemp -d 2>/dev/null) || fail "cannot make a folder in ${TMPDIR:-/tmp}: let TMPDIR name one that can be written"
}

# Runs something long so that a signal to this script ends it at once: bash runs its traps only between commands, but
# interrupts `wait`. `timeout` passes the signal on to all that it has started. What it complains of goes into a log, not
# by a redirection of this function, which the trap's own words would follow.
bounded() { # seconds, log, command...
    local seconds=$1 log=$2
    shift 2
    timeout --kill-after=10 "$seconds" "$@" <&0 2>"$log" &
    child=$!
    wait "$child" || return
    child=''
}

end_child() {
    [[ -z ${child:-} ]] || kill -TERM "$child" 2>/dev/null || true
    [[ -z ${child:-} ]] || wait "$child" 2>/dev/null || true
}

# Connects by a file that holds a URL and by nothing else: a variable of libpq's that is set may mean another database.
use_database() { # name of the variable that names the file with the URL, name of the connection
    local file=${!1:-}
    [[ -n $file ]] || fail "$1 is not set: let it name a file with the URL of the database"
    write_service "$(absolute "$file")" "$work/service"
    unset "${!PG@}"
    export PGSERVICEFILE=$work/service PGCONNECT_TIMEOUT=10 PGAPPNAME=$2
}

# Asks the database what stands on standard input, for $work/answer. What it cannot answer ends the script with its reason.
ask() {
    bounded 60 "$work/psql.log" "${PSQL[@]}" >"$work/answer" || fail "$(reason "$work/psql.log"); nothing was done"
}

# The line in which one of PostgreSQL's programs says what went wrong.
reason() { # log
    local line
    line=$(grep -E 'error: |ERROR: |FATAL: |failed: ' "$1" | tail -n 1) || line=$(tail -n 1 "$1")
    sed -E 's/^(psql|pg_dump|pg_restore):(<stdin>:[0-9]+:)? //; s/^error: //; s/(ERROR|FATAL):  /\1: /' <<<"${line:-it took too long, or was killed}"
}

sha256_of() { # file
    local sum
    sum=$(sha256sum <"$1")
    echo "${sum%% *}"
}

# Reads the manifest beside a dump into MANIFEST and, for the rows of its tables, ROWS. Sets `problem` and fails when it
# cannot be trusted.
# shellcheck disable=SC2034 # read by who sources this
read_manifest() { # dump
    local manifest=${1%.dump}.manifest line
    declare -gA MANIFEST=() ROWS=()
    problem="its manifest ${manifest##*/} is missing"
    [[ $1 == *.dump && -r $manifest ]] || return 1
    problem="its manifest ${manifest##*/} is cut short or was changed"
    [[ $(head -n 1 "$manifest") == "$FORMAT_LINE" ]] || return 1
    [[ $(tail -n 1 "$manifest") == "manifest_sha256=$(sha256_of <(head -n -1 "$manifest"))" ]] || return 1
    while IFS= read -r line; do
        case "$line" in
            rows.*) line=${line#rows.} ROWS[${line%%=*}]=${line#*=} ;;
            *) MANIFEST[${line%%=*}]=${line#*=} ;;
        esac
    done <"$manifest"
    problem="its manifest is that of ${MANIFEST[file]}"
    [[ ${MANIFEST[file]} == "${1##*/}" ]]
}

# Whether a dump is there to its last octet, with a manifest. Sets `problem` and fails when it is not.
is_whole() { # dump
    local size
    problem='there is no such file'
    [[ -f $1 ]] || return 1
    read_manifest "$1" || return 1
    size=$(stat --format=%s "$1")
    problem="it is cut short: $size of ${MANIFEST[size]} octets are there"
    ((size >= MANIFEST[size])) || return 1
    problem="it has $size octets and its manifest says ${MANIFEST[size]}"
    ((size == MANIFEST[size]))
}

# Whether a dump is what its manifest says, octet by octet. Sets `problem` and fails when it is not.
is_unchanged() { # dump
    is_whole "$1" || return 1
    problem='it was changed: its checksum is not that of its manifest'
    [[ $(sha256_of "$1") == "${MANIFEST[sha256]}" ]]
}

# Whether pg_restore can read a dump to its end. Sets `problem` and fails when it cannot.
# shellcheck disable=SC2034 # read by who sources this
read_dump() { # dump, seconds
    problem=''
    bounded "$2" "$work/pg_restore.log" pg_restore --file=/dev/null "$1" && return
    problem="pg_restore cannot read it: $(reason "$work/pg_restore.log")"
    return 1
}

# The names of the backups in a folder, newest first: `todo-20261124T120000Z`.
names_in() { # folder, ending
    local found
    for found in "$1"/todo-*"$2"; do
        found=${found##*/}
        found=${found%"$2"}
        [[ ! $found =~ $NAME_PATTERN ]] || echo "$found"
    done | sort --reverse
}

# The time in a name, in seconds since 1970.
time_of() { # name
    [[ $1 =~ $NAME_PATTERN ]]
    date --utc --date="${BASH_REMATCH[1]}-${BASH_REMATCH[2]}-${BASH_REMATCH[3]} ${BASH_REMATCH[4]}:${BASH_REMATCH[5]}:${BASH_REMATCH[6]}" +%s
}

utc_time() {
    date --utc +%Y-%m-%dT%H:%M:%SZ
}

duration() { # seconds
    if (($1 < 120)); then
        echo "$1 s"
    elif (($1 < 7200)); then
        echo "$(($1 / 60)) min"
    elif (($1 < 172800)); then
        echo "$(($1 / 3600)) h $(($1 % 3600 / 60)) min"
    else
        echo "$(($1 / 86400)) d $(($1 % 86400 / 3600)) h"
    fi
}

octets() { # number
    numfmt --to=iec-i --suffix=B --format=%.1f "$1"
}
