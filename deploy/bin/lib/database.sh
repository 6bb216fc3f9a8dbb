# shellcheck shell=bash
# PostgreSQL's own programs with a URL that stands in a file. A URL among the arguments would show its password to everybody
# who lists the processes, so it becomes a service file that only its owner reads.

# Writes the service `todo` of a URL: PGSERVICEFILE=$2 psql service=todo
write_service() { # file with the URL, service file
    local url pair
    [[ -r $1 ]] || fail "cannot read $1, which should hold the URL of the database"
    url=$(<"$1")
    [[ $url =~ ^postgres(ql)?://([^:@/]+)(:([^@/]*))?@([^:/?]+)(:([0-9]+))?/([^?]+)(\?(.*))?$ ]] ||
        fail "$1 does not hold a URL like postgres://user:password@host:5432/database?sslmode=verify-full"
    (
        umask 077
        {
            echo '[todo]'
            printf 'user=%s\nhost=%s\nport=%s\ndbname=%s\n' "$(decode "${BASH_REMATCH[2]}")" "${BASH_REMATCH[5]}" "${BASH_REMATCH[7]:-5432}" "$(decode "${BASH_REMATCH[8]}")"
            [[ -z ${BASH_REMATCH[4]} ]] || printf 'password=%s\n' "$(decode "${BASH_REMATCH[4]}")"
            while IFS= read -r -d '&' pair; do
                [[ -z $pair ]] || decode "$pair"
            done <<<"${BASH_REMATCH[10]}&"
        } >"$2"
    )
}

# Percent-decoding. A backslash in the text is a backslash.
decode() { # text
    local text=${1//\\/\\\\}
    printf '%b\n' "${text//%/\\x}"
}
