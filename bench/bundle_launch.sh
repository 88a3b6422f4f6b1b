#!/bin/sh
# Starts a program of the bundle under the name that this was called by. What it needs and the bundle does not hold
# (cuDNN, cuBLAS, NVRTC) is looked for in LD_LIBRARY_PATH, in the CUDA toolkit (CUDA_HOME, /usr/local/cuda) and in a
# PyTorch installation of $PYTHON. NVRTC too, which no program asks for when it starts: cuDNN loads it when it compiles,
# and without it offers no engine that it would have to compile.
here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
program=$here/bin/$(basename "$0")
[ -x "$program" ] || { echo "$0: there is no program $program" >&2; exit 1; }
LD_LIBRARY_PATH=$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH

missing() { ldd "$program" | sed -n 's/^[[:space:]]*\([^ ]*\) => not found.*/\1/p' | tr '\n' ' '; }

# That of the CUDA that the program's cuBLAS is of; empty where it has none.
nvrtc=$(ldd "$program" | sed -n 's/^[[:space:]]*libcublas\.so\.\([0-9]*\).*/libnvrtc.so.\1/p' | head -n 1)
# The loader says so of what it cannot load.
lacks_nvrtc() { [ -n "$nvrtc" ] && LD_PRELOAD=$nvrtc env true 2>&1 | grep -q "$nvrtc"; }
lacks_any() { [ -n "$(missing)" ] || lacks_nvrtc; }

# useful FOLDERS: all of them; where only NVRTC is missing, those that have it, since what lies in the others would come
# before the system's.
useful() {
    if [ -n "$(missing)" ]; then printf '%s' "$1"; return; fi
    echo "$1" | tr : '\n' | while read -r folder; do
        if [ -e "$folder/$nvrtc" ]; then printf ':%s' "$folder"; fi
    done
}

of_toolkit() {
    for folder in ${CUDA_HOME:+"$CUDA_HOME"/lib64 "$CUDA_HOME"/lib} /usr/local/cuda/lib64 /usr/local/cuda/lib \
        /usr/local/cuda/targets/*/lib; do
        if [ -d "$folder" ]; then printf ':%s' "$folder"; fi
    done
}

# Python without the bundle's libraries, which need not be its own.
of_pytorch() {
    LD_LIBRARY_PATH=${given#:} "$python" - 2>/dev/null <<'END'
import glob, importlib.util, os
for name, pattern in (("nvidia", "*/lib"), ("torch", "lib")):
    spec = importlib.util.find_spec(name)
    for root in spec.submodule_search_locations if spec else ():
        for folder in sorted(glob.glob(os.path.join(root, pattern))):
            print(end=":" + folder)
END
}

python=${PYTHON:-python3} given=${LD_LIBRARY_PATH#"$here/lib"} toolkit='' pytorch=''
if lacks_any; then
    toolkit=$(useful "$(of_toolkit)")
    LD_LIBRARY_PATH=$LD_LIBRARY_PATH$toolkit
fi
if lacks_any; then
    pytorch=$(useful "$(of_pytorch)")
    LD_LIBRARY_PATH=$LD_LIBRARY_PATH$pytorch
fi
lacks=$(missing)
if [ -n "$lacks" ]; then
    {
        echo "$0: not found: $lacks"
        echo "  LD_LIBRARY_PATH: ${given:-nothing in it}"
        echo "  CUDA toolkit: ${toolkit:-none in CUDA_HOME (${CUDA_HOME:-not set}) or /usr/local/cuda}"
        echo "  PyTorch: ${pytorch:-no nvidia/*/lib of $python (PYTHON names another one)}"
        echo "  What to do: install the CUDA toolkit and cuDNN, or a PyTorch for the same CUDA, or name their folder in LD_LIBRARY_PATH."
    } | sed 's/: :/: /' >&2
    exit 1
fi
# shellcheck disable=SC2086 # QV_UNDER: a tool, with its options, under which it is to run
exec ${QV_UNDER:-} "$program" "$@"
