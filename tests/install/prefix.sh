#!/bin/sh
# Configures with a library under a prefix, as CMAKE_PREFIX_PATH names it where there is no root: the program and the
# library that are installed must look for it there. Nothing is built.
#   prefix.sh SOURCE_DIR PREFIXES: where else libraries are, a list of CMake's
test $# -eq 2 || { echo "usage: prefix.sh SOURCE_DIR PREFIXES" >&2; exit 2; }
source=$1 others=$2
dir=$(mktemp -d) || exit 2 # CMake takes no folder below the source's for a prefix
trap 'rm -rf "$dir"' EXIT
mkdir -p "$dir/prefix/lib/pkgconfig"
: >"$dir/prefix/lib/libjansson.so"
printf 'Name: jansson\nDescription: made up\nVersion: 2.14\nLibs: -L%s -ljansson\n' "$dir/prefix/lib" \
    >"$dir/prefix/lib/pkgconfig/jansson.pc"
installed=$dir/build/cmake_install.cmake
configure() {
    rm -rf "$dir/build"
    cmake -S "$source" -B "$dir/build" -DQV_TESTS=OFF -DQV_BENCH=OFF -DQV_CUDA=OFF \
        -DCMAKE_PREFIX_PATH="$dir/prefix;$others" "$@" >"$dir/log" 2>&1 || { cat "$dir/log"; exit 1; }
}
configure
grep -q "NEW_RPATH \".*$dir/prefix/lib" "$installed" || { echo "what is installed does not look under the prefix"; exit 1; }
grep -q RPATH_REMOVE "$installed" && { echo "some of what is installed looks nowhere"; exit 1; }
# As the bundle for GPUs asks for.
# shellcheck disable=SC2016 # the loader expands it
configure -DCMAKE_INSTALL_RPATH='$ORIGIN/../lib'
grep -q "NEW_RPATH \".*$dir/prefix/lib" "$installed" && { echo "it looks where nobody asked it to"; exit 1; }
exit 0
