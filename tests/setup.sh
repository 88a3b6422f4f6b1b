#!/bin/sh
# scripts/setup.sh, by which ./demo and ./check know whether something is missing: with libraries that are made up,
# under a prefix alone.
#   setup.sh SOURCE_DIR
test $# -eq 1 || { echo "usage: setup.sh SOURCE_DIR" >&2; exit 2; }
cd "$1" || exit 2
dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT
bad=0
unset PKG_CONFIG_PATH
export PKG_CONFIG_LIBDIR="$dir/none" # the system has nothing

# has WHAT VARIABLE=VALUE...: whether what ./demo (or ./check) needs is there.
has() {
    extra=
    [ "$1" = demo ] || extra=$(grep '^QV_MODULES=' check)
    shift
    env "$@" sh -c ". scripts/setup.sh; $extra
        have_everything"
}
put() { for name; do printf 'Name: %s\nDescription: made up\nVersion: 99\n' "$name" >"$folder/$name.pc"; done; }

for folder in "$dir/a/lib/pkgconfig" "$dir/b/lib64/pkgconfig"; do
    prefix=${folder%/lib*}
    mkdir -p "$folder"
    put sndfile jansson libpcre2-8
    has demo CMAKE_PREFIX_PATH="$prefix" && { echo "without xxHash nothing is missing"; bad=1; }
    put libxxhash
    has demo CMAKE_PREFIX_PATH="$prefix" || { echo "./demo does not find what lies in $folder"; bad=1; }
    has check CMAKE_PREFIX_PATH="$prefix" && { echo "./check needs no cmocka"; bad=1; }
    put cmocka
    has check CMAKE_PREFIX_PATH="$prefix" || { echo "./check does not find what lies in $folder"; bad=1; }
done
has demo CMAKE_PREFIX_PATH="$prefix" CC='cc -pipe' CXX='c++ -pipe' || { echo "a compiler of two words is not found"; bad=1; }
has demo CMAKE_PREFIX_PATH="$prefix" CC="$dir/none" && { echo "a compiler that is not there is found"; bad=1; }
exit $bad
