# Sourced by ./demo and ./test: installs by apt what a command needs and this machine lacks, when it may.

# need COMMAND PACKAGE...: installs the packages unless the command is there. Else prints the one line to type, and fails.
need() {
    command -v "$1" >/dev/null && return
    shift
    local install=(apt-get install --yes --no-install-recommends "$@")
    if [[ $(id -u) == 0 ]]; then
        apt-get update --quiet && DEBIAN_FRONTEND=noninteractive "${install[@]}"
    elif sudo --non-interactive true 2>/dev/null; then
        sudo apt-get update --quiet && sudo DEBIAN_FRONTEND=noninteractive "${install[@]}"
    else
        echo "missing: $*; install with: sudo ${install[*]}" >&2
        return 1
    fi
}

# need_cargo: says where Rust comes from when it is not there.
need_cargo() {
    command -v cargo >/dev/null && return
    echo "cargo is missing; install Rust as https://rustup.rs says" >&2
    return 1
}
