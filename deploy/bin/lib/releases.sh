# shellcheck shell=bash
# Releases on a machine: `releases/<version>/` holds both binaries, as an image would. `run/<part>.version` is what a part
# runs, `releases/current` what all of them should run.

# Copies the binaries of a build; a release that is there already is not touched, so that a version stays what it was.
add_release() { # version, folder with the binaries
    local version=$1 folder=$2 binary
    [[ $version =~ ^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$ ]] || fail "'$version' is no version: use letters, digits, dots and dashes"
    [[ ! -e $STACK/releases/$version ]] || fail "release $version is there already: $STACK/releases/$version"
    for binary in todo-api todo-gateway; do
        [[ -x $folder/$binary ]] || fail "$folder/$binary is missing: build it first (make build)"
    done
    mkdir -p "$STACK/releases/$version.new"
    for binary in todo-api todo-gateway; do
        # The same file where the file system can: the binaries are large and never written again.
        cp --reflink=auto "$folder/$binary" "$STACK/releases/$version.new/$binary"
    done
    mv "$STACK/releases/$version.new" "$STACK/releases/$version"
}
