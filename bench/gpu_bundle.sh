#!/bin/sh
# Makes, on a machine with a CUDA toolkit and without a GPU, what another machine with a GPU needs to run gpu_check.sh:
#
#   gpu_bundle.sh [--arch 90] [--jobs N] [--no-lines] DIR        DIR/quaver-gpu.tar.gz, unpacked by: tar xzf quaver-gpu.tar.gz
#
# Inside: the program, the kernels' tests, the benches and their peers, configurations, and the shared libraries that a
# system need not have. The GPU's libraries are not: cuDNN, cuBLAS and NVRTC are found there in LD_LIBRARY_PATH, in the
# CUDA toolkit, or in a PyTorch installation. --arch takes CMake's list of architectures: "80-real;90-real". Kernels know
# their source lines, by which compute-sanitizer names what it finds; --no-lines leaves them out. A bundle of more than
# 45 MiB is refused: with the checkout beside it, it has to go where 64 MiB are let through.
set -eu

usage() { echo "usage: gpu_bundle.sh [--arch 90] [--jobs N] [--no-lines] DIR" >&2; exit 2; }
die() { echo "gpu_bundle.sh: $*" >&2; exit 1; }

arch=90 jobs=$(getconf _NPROCESSORS_ONLN) lines=-lineinfo dir='' most=45
while [ $# -gt 0 ]; do
    case $1 in
    --arch | --jobs)
        [ $# -ge 2 ] || usage
        case $1 in --arch) arch=$2 ;; --jobs) jobs=$2 ;; esac
        shift 2
        ;;
    --no-lines) lines=''; shift ;;
    -*) usage ;;
    *) [ -z "$dir" ] || usage; dir=$1; shift ;;
    esac
done
[ -n "$dir" ] || usage
source=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
build=$dir/build tree=$dir/quaver-gpu

# Old-style RPATH: it holds for the libraries of libraries too. That of the install, since CMake pads a build's with an
# empty folder, which is the current one.
# shellcheck disable=SC2016 # the loader expands it
cmake -S "$source" -B "$build" -DCMAKE_BUILD_TYPE=Release -DQV_CUDA=ON -DQV_ONEDNN=OFF -DQV_TESTS=ON -DQV_BENCH=ON \
    -DCMAKE_CUDA_ARCHITECTURES="$arch" -DCMAKE_CUDA_FLAGS="$lines" -DCMAKE_INSTALL_RPATH='$ORIGIN/../lib' -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON \
    -DCMAKE_EXE_LINKER_FLAGS=-Wl,--disable-new-dtags >"$dir/build.log" 2>&1 || { tail -20 "$dir/build.log" >&2; die "configuring failed"; }
programs="quaver test_kernels_gpu"
for bench in "$source"/bench/bench_*.c; do programs="$programs $(basename "$bench" .c)"; done
# shellcheck disable=SC2086 # programs is a list
cmake --build "$build" --parallel "$jobs" --target $programs >>"$dir/build.log" 2>&1 || { tail -20 "$dir/build.log" >&2; die "the build failed"; }

rm -rf "$tree"
mkdir -p "$tree/bin" "$tree/lib" "$tree/peers"
for program in $programs; do
    for folder in "$build" "$build/bench" "$build/tests/kernels"; do
        if [ -x "$folder/$program" ]; then cp "$folder/$program" "$tree/bin/"; fi
    done
    [ -x "$tree/bin/$program" ] || die "$program was not built"
    strip "$tree/bin/$program"
    ln -s launch "$tree/$program"
done

# Every library but those of the C and C++ systems, which come with any Linux, and the GPU's, which need not be here.
systems='ld-linux|libc|libm|libdl|librt|libpthread|libgcc_s|libstdc\+\+'
gpus='libcudnn[a-z_]*|libcublas(Lt)?|libcuda|libnvrtc[a-z-]*|libcudart'
for program in $programs; do ldd "$tree/bin/$program" || die "ldd does not read $program"; done >"$dir/libraries.log"
lacks=$(sed -n 's/^[[:space:]]*\([^ ]*\) => not found.*/\1/p' "$dir/libraries.log" | sort -u |
    grep -v -E "^($gpus)[.-]" | tr '\n' ' ')
[ -z "$lacks" ] || die "not found here, so that the bundle would lack it: $lacks(LD_LIBRARY_PATH may name its folder)"
sed -n 's/.* => \(\/.*\) (0x[0-9a-f]*)$/\1/p' "$dir/libraries.log" | sort -u | grep -v -E "/($systems|$gpus)[.-]" |
    while read -r library; do cp -L "$library" "$tree/lib/"; done

cp "$source/bench/gpu_check.sh" "$tree/"
cp "$source/bench/bundle_launch.sh" "$tree/launch"
chmod +x "$tree/launch" "$tree/gpu_check.sh"
cp "$source"/bench/peers/*.py "$tree/peers/"
cp -r "$source/data" "$tree/data"
cp "$source/LICENSE" "$source/NOTICE" "$tree/"
git -C "$source" describe --always --dirty >"$tree/COMMIT" 2>/dev/null || echo unknown >"$tree/COMMIT"
cuda=$(sed -n 's/^#define QV_CUDA_VERSION "\(.*\)"$/\1/p' "$build/generated/quaver_build.h" 2>/dev/null || true)
echo "Quaver for GPUs of compute capability $arch${cuda:+, by CUDA $cuda, whose major the driver and the libraries must have}. \
./gpu_check.sh OUT checks and measures everything; ./quaver is the program." >"$tree/BUNDLE"

tar -C "$dir" -czf "$dir/quaver-gpu.tar.gz.tmp" quaver-gpu
mv "$dir/quaver-gpu.tar.gz.tmp" "$dir/quaver-gpu.tar.gz"
size=$(du -k "$dir/quaver-gpu.tar.gz" | cut -f 1)
echo "inside:"
(cd "$tree" && find . -type f -exec du -k {} + | sort -k 2 | sed 's/^\([0-9]*\)\t\.\//  \1 KiB\t/')
echo "$dir/quaver-gpu.tar.gz: $((size / 1024)).$((size % 1024 * 10 / 1024)) MiB, commit $(cat "$tree/COMMIT"), architectures $arch"
[ "$size" -le $((most * 1024)) ] || die "the bundle is larger than $most MiB: --arch 90-real (no PTX for later GPUs) and --no-lines make it smaller"
