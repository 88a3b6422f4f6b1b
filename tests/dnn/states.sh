#!/bin/sh
# Configures as on machines with other libraries: each state must say what is left out and why, and none may stop the
# build unless the GPU was required. What is missing or old here is faked; nothing is built.
# In a folder of BUILD_DIR, from which programs can be run. CUBLAS: ON where the toolkit of NVCC has it.
test $# -eq 4 || { echo "usage: states.sh SOURCE_DIR NVCC CUBLAS BUILD_DIR" >&2; exit 2; }
source=$1 nvcc=$2 cublas=$3
test -n "$nvcc" || { echo "ALL TESTS SKIPPED: a build without CUDA, so that only one of the states can be seen"; exit 0; }
dir=$(mktemp -d "$4/states-XXXXXX") || exit 2
trap 'rm -rf "$dir"' EXIT
bad=0

# state NAME EXIT_CODE "WORDS EXPECTED" CMAKE_ARGUMENTS...: in a new folder; again: in that of the state before.
state() {
    rm -rf "$dir/build"
    again "$@"
}
again() {
    name=$1 code=$2 words=$3
    shift 3
    cmake -S "$source" -B "$dir/build" -DQV_TESTS=OFF -DQV_BENCH=OFF -DCMAKE_CUDA_ARCHITECTURES=90 "$@" >"$dir/log" 2>&1
    got=$?
    # A long message is wrapped.
    tr -s ' \n' ' ' <"$dir/log" >"$dir/words"
    if test $got -eq "$code" && grep -qF -- "$words" "$dir/words"; then
        echo "ok: $name"
    else
        echo "$name: cmake ended with $got, expected $code and the words: $words"
        cat "$dir/log"
        bad=1
    fi
}

# An nvcc of another age, and cuDNN as pip lays it out, in a version of our choice.
printf '#!/bin/sh\ncase "$*" in --version) echo "Cuda compilation tools, release 11.8, V11.8.89" ;; *) exec "%s" "$@" ;; esac\n' \
    "$nvcc" >"$dir/nvcc"
chmod +x "$dir/nvcc"
pip_cudnn() {
    mkdir -p "$1/nvidia/cudnn/include" "$1/nvidia/cudnn/lib"
    printf '#define CUDNN_MAJOR 9\n#define CUDNN_MINOR %s\n#define CUDNN_PATCHLEVEL 1\n' "$2" >"$1/nvidia/cudnn/include/cudnn_version.h"
    : >"$1/nvidia/cudnn/lib/libcudnn.so.9"
}
pip_cudnn "$dir/old" 7
pip_cudnn "$dir/new" 11
# And as a distribution has it.
mkdir -p "$dir/system/include" "$dir/system/lib"
cp "$dir/old/nvidia/cudnn/include/cudnn_version.h" "$dir/system/include"
: >"$dir/system/lib/libcudnn.so"

state "left out" 0 "[ ] CUDA: no kernels, CPU backends only: left out by QV_CUDA=OFF" -DQV_CUDA=OFF
CUDACXX="$dir/none" state "no toolkit" 0 "[ ] CUDA: no kernels, CPU backends only: no nvcc that compiles"
CUDACXX=$nvcc again "a toolkit since" 0 "kernels for 90"
state "old toolkit" 0 "is 11.8; 12.4 or newer is needed" -DCMAKE_CUDA_COMPILER="$dir/nvcc"
CUDACXX=$nvcc again "a newer toolkit since" 0 "kernels for 90"
[ "$cublas" = ON ] || { echo 'SKIPPED: no cuBLAS, so that what is said of cuDNN cannot be seen' >&2; exit $bad; }
state "no cuDNN" 0 "[ ] CUDA backend: kernels only, nothing runs on a GPU: cuDNN 9.8 or newer was not found" \
    -DCMAKE_CUDA_COMPILER="$nvcc" -DCMAKE_DISABLE_FIND_PACKAGE_CUDNN=ON
state "no cuDNN, required" 1 "QV_CUDA=ON, but cuDNN 9.8 or newer was not found" \
    -DCMAKE_CUDA_COMPILER="$nvcc" -DCMAKE_DISABLE_FIND_PACKAGE_CUDNN=ON -DQV_CUDA=ON
state "old cuDNN" 0 "cuDNN 9.7.1 of $dir/old/nvidia/cudnn/include is too old" \
    -DCMAKE_CUDA_COMPILER="$nvcc" -DCUDNN_ROOT="$dir/old/nvidia/cudnn"
again "a newer cuDNN since" 0 "[x] cuDNN 9.11.1, cuBLAS" -DCUDNN_ROOT="$dir/new/nvidia/cudnn"
state "pip's cuDNN" 0 "[x] cuDNN 9.11.1, cuBLAS" -DCMAKE_CUDA_COMPILER="$nvcc" -DCMAKE_PREFIX_PATH="$dir/new"
CUDNN_ROOT="$dir/new/nvidia/cudnn" state "by environment" 0 "[x] cuDNN 9.11.1, cuBLAS" -DCMAKE_CUDA_COMPILER="$nvcc"
CUDNN_ROOT="$dir/new/nvidia/cudnn" state "beside the system's" 0 "[x] cuDNN 9.11.1, cuBLAS" \
    -DCMAKE_CUDA_COMPILER="$nvcc" -DCMAKE_PREFIX_PATH="$dir/system"
grep -q "^CUDNN_LIBRARY:[A-Z]*=$dir/new/" "$dir/build/CMakeCache.txt" || {
    echo "the header is pip's, the library another: $(grep '^CUDNN_' "$dir/build/CMakeCache.txt")"
    bad=1
}
exit $bad
