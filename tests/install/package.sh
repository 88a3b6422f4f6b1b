#!/bin/sh
# cmake/package.cmake on a small project: what is installed has the same permissions whatever the builder's umask, the
# package names what it depends on, and where dpkg-dev is missing there is none. tests/long/deb.sh makes the whole one.
#   package.sh SOURCE_DIR BUILD_DIR
test $# -eq 2 || { echo "usage: package.sh SOURCE_DIR BUILD_DIR" >&2; exit 2; }
source=$1
for tool in dpkg-shlibdeps dpkg-deb file; do
    command -v $tool >/dev/null || { echo "ALL TESTS SKIPPED: no $tool"; exit 0; }
done
dir=$(mktemp -d "$2/package-XXXXXX") || exit 2
trap 'rm -rf "$dir"' EXIT
bad=0
cat >"$dir/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.22)
project(quaver VERSION 1.0 LANGUAGES C)
add_executable(made made.c)
install(TARGETS made RUNTIME DESTINATION bin)
install(DIRECTORY data/ DESTINATION share/quaver)
include("$source/cmake/package.cmake")
END
echo 'int main(void) { return 0; }' >"$dir/made.c"
mkdir -p "$dir/data/in" && : >"$dir/data/in/file"
cmake -S "$dir" -B "$dir/build" -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX=/usr >"$dir/log" 2>&1 &&
    cmake --build "$dir/build" >>"$dir/log" 2>&1 || { cat "$dir/log"; exit 1; }
export SOURCE_DATE_EPOCH=1700000000

# packed UMASK: by a builder with it.
packed() {
    rm -rf "$dir"/build/_CPack_Packages "$dir"/build/*.deb
    (umask "$1" && cd "$dir/build" && cpack -G DEB >"$dir/log" 2>&1)
}
for mask in 022 077; do
    packed $mask || { echo "no package with umask $mask"; cat "$dir/log"; exit 1; }
    mv "$dir"/build/*.deb "$dir/$mask.deb"
    dpkg-deb -c "$dir/$mask.deb" >"$dir/$mask"
done
cmp "$dir/022" "$dir/077" || { echo "the builder's umask is in the package"; cat "$dir/077"; bad=1; }
[ -n "$(dpkg-deb -f "$dir/022.deb" Depends)" ] || { echo "the package depends on nothing"; bad=1; }

# All of dpkg-dev's folders are passed over; what else is needed of them is in one of our own.
mkdir "$dir/bin"
ln -s "$(command -v file)" "$(command -v readelf)" "$(command -v objdump)" "$dir/bin"
printf 'set(CMAKE_IGNORE_PATH "%s")\n' "$(echo "$PATH" | tr : ';');/bin;/usr/bin" >>"$dir/build/CPackConfig.cmake"
if (PATH=$dir/bin:$PATH && packed 022); then
    echo "a package was made that names nothing it needs: $(dpkg-deb -f "$dir"/build/*.deb Depends)"
    bad=1
fi
grep -q 'apt-get install dpkg-dev' "$dir/log" || { echo "nothing says what is missing:"; cat "$dir/log"; bad=1; }
exit $bad
