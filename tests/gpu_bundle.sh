#!/bin/sh
# bench/gpu_bundle.sh and bench/bundle_launch.sh without a toolkit, a GPU or its libraries: what goes into a bundle and
# what is refused, and where its programs look for what is not inside. Compiler, loader and programs are made up here.
# In a folder of BUILD_DIR, from which programs can be run.
#   gpu_bundle.sh SOURCE_DIR QUAVER BUILD_DIR
test $# -eq 3 || { echo "usage: gpu_bundle.sh SOURCE_DIR QUAVER BUILD_DIR" >&2; exit 2; }
source=$1
library=$(ldd "$2" | sed -n 's/.*libm\.so.* => \([^ ]*\) .*/\1/p') # any that the loader takes
dir=$(mktemp -d "$3/gpu-bundle-XXXXXX") || exit 2
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

# --- where its programs look ---
# A toolkit without NVRTC and a PyTorch with it, or the other way round.
tree=$dir/whole/quaver-gpu
mkdir -p "$dir/cuda/lib64" "$dir/torch/nvrtc" "$dir/torch/cudnn"
made "$tree/bin/quaver" <<'END'
echo "$LD_LIBRARY_PATH"
END
made "$dir/bin/python" <<END
printf ':$dir/torch/cudnn:$dir/torch/nvrtc'
END
made "$dir/bin/ldd" <<END
printf '\tlibcublas.so.97 => /nowhere/libcublas.so.97 (0x1)\n'
case \$LACKING:\$LD_LIBRARY_PATH in :* | *:"$dir/torch/cudnn":*) ;; *) printf '\tlibcudnn.so.9 => not found\n' ;; esac
END
# looks LACKING EXPECTED: LD_LIBRARY_PATH behind the bundle's own.
looks() {
    said=$(PATH=$dir/bin:$PATH LACKING=$1 LD_LIBRARY_PATH='' CUDA_HOME=$dir/cuda PYTHON=$dir/bin/python "$tree/quaver" 2>&1)
    [ "$said" = "$tree/lib$2" ] || { echo "lacking ${1:-nothing}: $said, expected $tree/lib$2"; bad=1; }
}
cp -L "$library" "$dir/torch/nvrtc/libnvrtc.so.97"
looks '' ":$dir/torch/nvrtc"
cp -L "$library" "$dir/cuda/lib64/libnvrtc.so.97"
looks '' ":$dir/cuda/lib64"
cp -L "$library" "$tree/lib/libnvrtc.so.97"
looks '' ''
said=$(PATH=$dir/bin:$PATH LACKING='' QV_UNDER='echo under' "$tree/quaver" what 2>&1)
[ "$said" = "under $tree/bin/quaver what" ] || { echo "under a tool runs $said"; bad=1; }
rm "$tree/lib/libnvrtc.so.97"
said=$(PATH=$dir/bin:$PATH LACKING='' LD_LIBRARY_PATH='' CUDA_HOME=/nonexistent PYTHON=/nonexistent "$tree/quaver" 2>&1) ||
    { echo "without NVRTC nothing starts: $said"; bad=1; }
said=$(PATH=$dir/bin:$PATH LACKING=cudnn LD_LIBRARY_PATH='' CUDA_HOME=$dir/cuda PYTHON=$dir/bin/python "$tree/quaver" 2>&1)
case $said in "$tree/lib:$dir/cuda/lib64:"*"$dir/torch/cudnn:$dir/torch/nvrtc") ;; *) echo "lacking cuDNN: $said"; bad=1 ;; esac
said=$(PATH=$dir/bin:$PATH LACKING=cudnn LD_LIBRARY_PATH='' CUDA_HOME=$dir/cuda PYTHON=/nonexistent "$tree/quaver" 2>&1) &&
    { echo "a program without cuDNN was started"; bad=1; }
expect 'not found: libcudnn.so.9' "$said"

[ $bad -eq 0 ] && echo "bundles are whole, and find what is not inside"
exit $bad
