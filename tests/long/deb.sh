#!/bin/sh
# The Debian package from end to end: built twice to the same bytes, installed into a bare Debian 12 (debootstrap), the
# demo run there by a user who is not root, removed again with nothing of it left. Needs root, debootstrap, dpkg-dev and
# a Debian mirror; skips loudly (77) without them.
# usage: tests/long/deb.sh [EPOCHS]     of the demo's training (2; 40 are the demo's own)
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
epochs=${1:-2}
skip() { echo "SKIPPED: deb.sh: $*" >&2; exit 77; }
[ "$(id -u)" -eq 0 ] || skip "not root"
command -v debootstrap >/dev/null || skip "no debootstrap"
command -v dpkg-shlibdeps >/dev/null || skip "no dpkg-dev"
T=$(mktemp -d "${TMPDIR:-/var/tmp}/quaver-deb-XXXXXX")
build=$root/build-deb
trap 'rm -rf "$T"' EXIT
export CCACHE_BASEDIR="$root" CCACHE_NOHASHDIR=1
export SOURCE_DATE_EPOCH=1700000000

launcher=
command -v ccache >/dev/null && launcher=-DCMAKE_C_COMPILER_LAUNCHER=ccache
for n in 1 2; do
    # The same path both times, as a rebuild has it; the second time the compiler is asked, not a cache.
    [ $n -eq 1 ] || export CCACHE_RECACHE=1
    rm -rf "$build"
    cmake -S "$root" -B "$build" -G Ninja -DCMAKE_INSTALL_PREFIX=/usr -DQV_CUDA=OFF -DQV_TESTS=OFF -DQV_BENCH=OFF \
        $launcher >"$T/log"
    ninja -C "$build" -j "${QV_JOBS:-2}" >"$T/log"
    (cd "$build" && cpack -G DEB >"$T/log" 2>&1) || { cat "$T/log"; exit 1; }
    mkdir "$T/$n"
    cp "$build"/*.deb "$T/$n"
done
package=$(basename "$T"/1/*.deb)
cmp "$T/1/$package" "$T/2/$package"
echo "$package: the same bytes when built twice"

chroot_dir=$T/root
debootstrap --variant=minbase bookworm "$chroot_dir" ${QV_MIRROR:-} >"$T/log" 2>&1 || { tail -n 5 "$T/log"; skip "debootstrap failed"; }
[ ! -e /etc/apt/apt.conf ] || cp /etc/apt/apt.conf "$chroot_dir/etc/apt/"
cp /etc/apt/apt.conf.d/* "$chroot_dir/etc/apt/apt.conf.d/" 2>/dev/null || true
[ ! -e /etc/resolv.conf ] || cp /etc/resolv.conf "$chroot_dir/etc/resolv.conf"
cp "$T/1/$package" "$chroot_dir/tmp/"
inside() { chroot "$chroot_dir" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive LC_ALL=C "$@"; }
list() { (cd "$chroot_dir" && find . -path ./proc -prune -o -path ./tmp -prune -o -path ./home -prune -o -print | grep -i quaver | sort); }
inside apt-get update -q >"$T/log" 2>&1 || { tail -n 5 "$T/log"; exit 1; }
inside apt-get install -q -y "/tmp/$package" >"$T/log" 2>&1 || { tail -n 20 "$T/log"; exit 1; }
echo "installed: $(list | wc -l) paths; $(inside quaver --version)"
inside dpkg -L quaver >"$T/files"
inside useradd -m guest
inside su guest -c "cd && quaver corpus synth corpus && quaver train --config /usr/share/quaver/configs/demo.ini \
    --manifest corpus/manifest.csv --out run --epochs $epochs" >"$T/log" 2>&1 || { tail -n 20 "$T/log"; exit 1; }
[ -s "$chroot_dir/home/guest/run/report.html" ] || { echo "the demo wrote no report"; exit 1; }
echo "the demo's report was written by a user who is not root"
inside apt-get purge -q -y quaver >"$T/log" 2>&1 || { tail -n 20 "$T/log"; exit 1; }
left=$(list; while read -r file; do [ -d "$chroot_dir$file" ] || [ ! -e "$chroot_dir$file" ] || echo "$file"; done <"$T/files")
[ -z "$left" ] || { echo "left behind:"; echo "$left"; exit 1; }
echo "removed: nothing is left"
