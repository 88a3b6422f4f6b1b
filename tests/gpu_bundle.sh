#!/bin/sh
# bench/gpu_bundle.sh without a toolkit, a GPU or its libraries: what goes into a bundle and what is refused. Compiler,
# loader and programs are made up here.
#   gpu_bundle.sh SOURCE_DIR
test $# -eq 1 || { echo "usage: gpu_bundle.sh SOURCE_DIR" >&2; exit 2; }
source=$1
dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/bin"
bad=0

# made NAME: a program, whose text is stdin.
made() {
    { echo '#!/bin/sh'; cat; } >"$1"
    chmod +x "$1"
}

# expect WHAT TEXT
expect() {
    case $2 in *"$1"*) ;; *) echo "no \"$1\" in: $2"; bad=1 ;; esac
}

# --- what goes into a bundle ---
made "$dir/bin/cmake" <<'END'
[ "$1" = --build ] || exit 0
build=$2
while [ "$1" != --target ]; do shift; done
shift
mkdir -p "$build"
for program; do echo '#!/bin/sh' >"$build/$program"; chmod +x "$build/$program"; done
END
made "$dir/bin/strip" </dev/null
made "$dir/bin/ldd" <<END
printf '\tlinux-vdso.so.1 (0x1)\n\tlibm.so.6 => /nowhere/libm.so.6 (0x2)\n'
printf '\tlibmade.so.1 => $dir/libmade.so.1 (0x3)\n\tlibcudnn.so.9 => not found\n\tlibcublasLt.so.13 => not found\n'
for library in \$LACKING; do printf '\t%s => not found\n' "\$library"; done
END
echo made >"$dir/libmade.so.1"
said=$(PATH=$dir/bin:$PATH LACKING='' sh "$source/bench/gpu_bundle.sh" --jobs 1 "$dir/whole" 2>&1) ||
    { echo "no bundle was made: $said"; bad=1; }
expect 'lib/libmade.so.1' "$said"
[ -f "$dir/whole/quaver-gpu.tar.gz" ] || { echo "there is no bundle"; bad=1; }
[ "$(ls "$dir/whole/quaver-gpu/lib")" = libmade.so.1 ] || { echo "inside: $(ls "$dir/whole/quaver-gpu/lib")"; bad=1; }
said=$(PATH=$dir/bin:$PATH LACKING='libsndfile.so.1 libcuda.so.1' sh "$source/bench/gpu_bundle.sh" --jobs 1 "$dir/part" 2>&1) &&
    { echo "a bundle without a library was made"; bad=1; }
expect 'not found here, so that the bundle would lack it: libsndfile.so.1 (' "$said"
[ ! -e "$dir/part/quaver-gpu.tar.gz" ] || { echo "what was refused is there"; bad=1; }

[ $bad -eq 0 ] && echo "bundles are whole"
exit $bad
