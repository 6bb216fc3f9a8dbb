# shellcheck shell=bash
# What builds images and what looks at them have in common: which engine, and where buildah keeps its images.

# shellcheck disable=SC2034 # used by who sources this
TIERS=(api gateway)
IMAGES_FOLDER=$PWD/target/images
BUILT=$IMAGES_FOLDER/built.env

# Sets ENGINE to what builds images on this machine: docker or buildah. One that is there and does not answer is an error,
# and not a reason to build with the other one.
choose_engine() {
    local chosen=${ENGINE:-}
    if [[ -z $chosen ]]; then
        chosen=buildah
        if command -v docker >/dev/null && { [[ -n ${DOCKER_HOST:-} || -S /var/run/docker.sock ]] || docker_answers; }; then
            chosen=docker
        fi
    fi
    case "$chosen" in
        docker)
            require docker
            docker_answers || fail "Docker's engine does not answer (docker version): start it, or build without one with ENGINE=buildah"
            ;;
        buildah)
            require buildah jq unshare
            [[ $(id -u) == 0 ]] || fail "buildah builds these images as root only: run this with sudo, or install Docker"
            ;;
        *) fail "ENGINE=$chosen is no engine: use docker or buildah" ;;
    esac
    ENGINE=$chosen
}

docker_answers() {
    timeout 20 docker version --format '{{.Server.Version}}' >/dev/null 2>&1
}

# buildah with everything it stores in target/images. It mounts what it works on: in a mount namespace of its own, so that
# nothing stays mounted when it is killed, and `rm -rf target` always works.
buildah() {
    local folder=$IMAGES_FOLDER
    mkdir -p "$folder/tmp"
    TMPDIR=$folder/tmp BUILDAH_ISOLATION=chroot \
        unshare --mount buildah --root "$folder/storage" --runroot "$folder/run" "$@"
}

# What the images were called that `deploy/bin/images` built last, and by which engine.
built() {
    [[ -f $BUILT ]] || fail "there are no images yet: make images"
    # shellcheck source=/dev/null
    . "$BUILT"
}

# A value of an image's configuration, by a jq path: `image_config todo-api:0.1.0 .User`.
image_config() { # image, path
    case "$ENGINE" in
        docker) docker image inspect --format '{{json .Config}}' "$1" | jq --raw-output "$2" ;;
        buildah) buildah inspect --type image "$1" | jq --raw-output ".Docker.config | $2" ;;
    esac
}

# Writes an image into a file as `docker save` does.
save_image() { # image, file
    case "$ENGINE" in
        docker) docker save --output "$2" "$1" ;;
        buildah) buildah push --quiet "$1" "docker-archive:$2:$1" ;;
    esac
}
