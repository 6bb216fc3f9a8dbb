# shellcheck shell=bash
# What deploy and rollback have in common: the words after the command, and the target that they work on. A target is a
# file `target-<name>.sh` with the functions that are called here.

# Sets target, environment, namespace, version.
parse_rollout() { # arguments...
    target='' environment='' namespace='' version=''
    while (($#)); do
        case "$1" in
            --target | --environment | --namespace)
                [[ -n ${2:-} ]] || fail "$1 needs a value: see --help"
                printf -v "${1#--}" %s "$2"
                shift
                ;;
            --help | -h)
                usage
                exit
                ;;
            -*) fail "'$1' is no option: see --help" ;;
            *)
                [[ -z $version ]] || fail "one version at a time: '$version' and '$1' were given"
                version=$1
                ;;
        esac
        shift
    done
    case "$target" in
        stack) ;;
        kubernetes)
            [[ $environment == staging || $environment == production ]] || fail "--target kubernetes needs --environment staging or production"
            : "${namespace:=todo-$environment}"
            ;;
        '') fail "where? --target stack or --target kubernetes" ;;
        *) fail "'$target' is no target: use stack or kubernetes" ;;
    esac
    [[ -z $version || $version =~ ^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$ ]] || fail "'$version' is no version: use letters, digits, dots and dashes"
    # shellcheck source=/dev/null
    . "deploy/bin/lib/target-$target.sh"
}
