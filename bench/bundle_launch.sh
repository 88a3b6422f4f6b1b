#!/bin/sh
# Starts a program of the bundle under the name that this was called by. What it needs and the bundle does not hold
# (cuDNN, cuBLAS, NVRTC) is looked for in LD_LIBRARY_PATH, in the CUDA toolkit and in a PyTorch installation of $PYTHON.
here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
program=$here/bin/$(basename "$0")
[ -x "$program" ] || { echo "$0: there is no program $program" >&2; exit 1; }
LD_LIBRARY_PATH=$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH

missing() { ldd "$program" | sed -n 's/^[[:space:]]*\([^ ]*\) => not found.*/\1/p' | tr '\n' ' '; }

of_toolkit() {
    for folder in "${CUDA_HOME:-}/lib64" /usr/local/cuda/lib64 /usr/local/cuda/targets/*/lib; do
        [ -d "$folder" ] && printf ':%s' "$folder"
    done
}

of_pytorch() {
    "${PYTHON:-python3}" - 2>/dev/null <<'END'
import glob, importlib.util, os
for name, pattern in (("nvidia", "*/lib"), ("torch", "lib")):
    spec = importlib.util.find_spec(name)
    for root in spec.submodule_search_locations if spec else ():
        for folder in sorted(glob.glob(os.path.join(root, pattern))):
            print(end=":" + folder)
END
}

[ -z "$(missing)" ] || LD_LIBRARY_PATH=$LD_LIBRARY_PATH$(of_toolkit)
[ -z "$(missing)" ] || LD_LIBRARY_PATH=$LD_LIBRARY_PATH$(of_pytorch)
lacks=$(missing)
if [ -n "$lacks" ]; then
    echo "$0: not found: $lacks" >&2
    echo "They are looked for in LD_LIBRARY_PATH, /usr/local/cuda, and the PyTorch of ${PYTHON:-python3} (PYTHON names another one)." >&2
    exit 1
fi
exec "$program" "$@"
