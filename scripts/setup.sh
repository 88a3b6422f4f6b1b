# Shared by ./demo and ./check: finds what is missing, installs it, configures and builds.
# Sourced, from the checkout's top folder.

QV_PACKAGES="gcc g++ cmake ninja-build pkg-config libsndfile1-dev libsoxr-dev libdnnl-dev libjansson-dev libpcre2-dev libxxhash-dev"
QV_MODULES="sndfile jansson libpcre2-8 libxxhash" # without which it does not build
QV_BUILD=${QV_BUILD:-build}

say() { printf '%s\n' "$*" >&2; }
die() { say "$0: $*"; exit 1; }

# True when everything that the build needs can be found, on the system or under CMAKE_PREFIX_PATH.
have_everything() {
    command -v cmake >/dev/null && command -v pkg-config >/dev/null || return 1
    cc=${CC:-cc} cxx=${CXX:-c++} # "ccache gcc" is two words
    command -v "${cc%% *}" >/dev/null && command -v "${cxx%% *}" >/dev/null || return 1
    command -v ninja >/dev/null || command -v make >/dev/null || return 1
    for prefix in $(printf '%s' "${CMAKE_PREFIX_PATH:-}" | tr ':;' '  '); do
        PKG_CONFIG_PATH="$prefix/lib/pkgconfig:$prefix/lib64/pkgconfig:$prefix/lib/$(uname -m)-linux-gnu/pkgconfig:$prefix/share/pkgconfig:${PKG_CONFIG_PATH:-}"
    done
    export PKG_CONFIG_PATH
    # shellcheck disable=SC2086 # a list
    pkg-config --exists $QV_MODULES
}

# Debian's packages that are not installed.
missing_packages() {
    for p in $QV_PACKAGES; do
        dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || printf '%s ' "$p"
    done
}

install_missing() {
    command -v apt-get >/dev/null || {
        have_everything && return
        die "this is no Debian or Ubuntu: install the development files of $QV_MODULES (for pkg-config), and soxr and oneDNN, or point CMAKE_PREFIX_PATH at them"
    }
    missing=$(missing_packages)
    [ -z "$missing" ] && return
    sudo=
    [ "$(id -u)" -eq 0 ] || sudo=sudo
    say "Missing packages. This installs them:"
    say "  ${sudo:+sudo }apt-get install -y --no-install-recommends $missing"
    if [ -n "$sudo" ] && ! command -v sudo >/dev/null; then
        have_everything && { say "No root and no sudo, but what the build requires is there: going on."; return; }
        die "no root and no sudo: ask for these packages, or install them under a prefix and set CMAKE_PREFIX_PATH"
    fi
    if [ -t 0 ] && [ "${QV_YES:-0}" = 0 ]; then
        printf 'Run it? [Y/n] ' >&2
        read -r answer
        case "$answer" in
        n* | N*)
            have_everything && return
            die "not installed; nothing was changed"
            ;;
        esac
    fi
    if ! { $sudo apt-get update -qq && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null; }; then
        have_everything || die "apt-get failed; the packages above are needed"
        say "apt-get failed, but what the build requires is there: going on."
    fi
}

build() {
    generator=
    command -v ninja >/dev/null && generator="-G Ninja"
    [ -f "$QV_BUILD/CMakeCache.txt" ] && generator=
    # shellcheck disable=SC2086 # the generator is two words or none
    cmake -S . -B "$QV_BUILD" $generator "$@" >"$QV_BUILD.log" 2>&1 || { cat "$QV_BUILD.log" >&2; die "configuring failed"; }
    grep -A 20 -e '-- Quaver ' "$QV_BUILD.log" | grep -e '-- Quaver' -e '\[.\]' | sed 's/^-- //' >&2
    say "Building ..."
    cmake --build "$QV_BUILD" -j "$(getconf _NPROCESSORS_ONLN)" >"$QV_BUILD.log" 2>&1 || { tail -40 "$QV_BUILD.log" >&2; die "the build failed"; }
    mv "$QV_BUILD.log" "$QV_BUILD/build.log"
}

for arg in "$@"; do
    case "$arg" in
    -y | --yes) QV_YES=1 ;;
    -h | --help) QV_HELP=1 ;;
    *) die "unexpected word $arg; --help shows how this is called" ;;
    esac
done
