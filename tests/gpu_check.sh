#!/bin/sh
# bench/gpu_check.sh without a GPU: what it does with parts that pass, fail, hang and cannot run, and with the time that
# it is given. Its programs are made up here; the one that is real finds no GPU.
# In a folder of BUILD_DIR, from which programs can be run.
#   gpu_check.sh SOURCE_DIR QUAVER BUILD_DIR
test $# -eq 3 || { echo "usage: gpu_check.sh SOURCE_DIR QUAVER BUILD_DIR" >&2; exit 2; }
check=$1/bench/gpu_check.sh quaver=$2
dir=$(mktemp -d "$3/gpu-check-XXXXXX") || exit 2
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/real" "$dir/made" "$dir/bin"
bad=0
unset CUDA_VISIBLE_DEVICES
# Numbers keep their point where people write a comma.
if localedef -i de_DE -f UTF-8 "$dir/de_DE.UTF-8" >/dev/null 2>&1; then
    LOCPATH=$dir LC_ALL=de_DE.UTF-8
    export LOCPATH LC_ALL
else
    echo "SKIPPED: no locale with a decimal comma"
fi

# left OUT: three files are all that a run leaves.
left() {
    [ "$(ls "$1")" = "$(printf 'gpu.json\nlogs.tar.gz\nsummary.txt')" ] || { echo "$1 has $(ls -m "$1")"; bad=1; }
}

# expect WHAT FILE: the line is there, as a whole.
expect() {
    grep -q -x -e "$1" "$2" || { echo "not in $2: $1"; cat "$2"; bad=1; }
}

# --- limits ---
for parts in cpu,selftest,kernels,fused,profile,sweep,replicas,step,train,sanitizer cpu,kernels step; do
    sum=$(sh "$check" --parts $parts --limits | awk '{ sum += $2 } END { print sum }')
    [ "$sum" -eq 540 ] || { echo "the limits of $parts are $sum s in sum, expected 540"; bad=1; }
done
[ "$(sh "$check" --limits | wc -l)" -eq 10 ] || { echo "expected ten parts"; bad=1; }
[ "$(sh "$check" --limits | sed -n 's/^selftest //p')" -eq 110 ] || { echo "the selftest has another share"; bad=1; }
sh "$check" --help | grep -q -e '--parts step --seconds 300 OUT2$' || { echo "--help has no two commands"; bad=1; }
sh "$check" --parts nothing "$dir/none" 2>/dev/null && { echo "a part that does not exist was taken"; bad=1; }

# --- what racecheck and synccheck look at: the ops of kernels whose threads exchange something ---
shared=$(sed -n 's/^shared_ops=//p' "$check")
for file in "$1"/kernels/*.cu; do
    listed=0 exchanges=0
    # shellcheck disable=SC2013 # words
    for op in $(sed -n 's/^extern "C" int qv_cuda_\([a-z_0-9]*\)(const qv_call .*/\1/p' "$file"); do
        case ,$shared, in *,"$op",*) listed=1 ;; esac
    done
    grep -q -E 'QV_SHARED|__syncthreads|__shfl|qv_join_lanes|qv_merge_blocks|qv_end_loss' "$file" && exchanges=1
    [ $listed -eq $exchanges ] || { echo "$file: exchanges $exchanges, among shared_ops $listed"; bad=1; }
done

# --- no GPU: all is skipped with a reason, and nothing fails ---
ln -s "$quaver" "$dir/real/quaver"
printf '#!/bin/sh\nexit 1\n' >"$dir/bin/nvidia-smi"
chmod +x "$dir/bin/nvidia-smi"
path=$dir/bin:$PATH
if "$quaver" doctor 2>/dev/null | grep -q '^  0  '; then
    echo "SKIPPED: there is a GPU here, so that what happens without one cannot be seen"
else
    PATH=$path QV_BUILD=$dir/real sh "$check" --parts kernels,fused,sanitizer "$dir/none" >"$dir/none.log" 2>&1 ||
        { echo "without a GPU it failed"; cat "$dir/none.log"; bad=1; }
    expect 'fused: skipped: no device: ..*' "$dir/none.log"
    expect '.*"name": "kernels", "status": "skipped".*' "$dir/none/gpu.json"
fi

# --- a GPU that is made up ---
# made NAME: a program, whose text is stdin.
made() {
    { echo '#!/bin/sh'; cat; } >"$1"
    chmod +x "$1"
}
made "$dir/made/quaver" <<'END'
case $1 in
doctor) echo "  0            NVIDIA Made Up, compute capability 9.0, 79.6 GiB" ;;
selftest) echo '{"cases": 3, "failed": 0}' ;;
--version) echo "quaver 0" ;;
esac
END
made "$dir/made/bench_kernels" <<'END'
cp "$OUT/gpu.json" "$SEEN"
tar -C "$SEEN" -xzf "$OUT/logs.tar.gz"
echo '{"bench": "kernels", "kernel": "conv", "median_ms": 1.0}'
exec sleep 100
END
made "$dir/made/bench_fused" <<'END'
echo '{"bench": "fused", "apart_ms": 2.0, "fused_ms": 1.0, "ratio": 2.0}'
echo '{"bench": "fused", "supported": false}'
echo '{"bench": "fused_step", "preset": "small", "pattern": "conv+stats", "supported": 1, "unsupported": 1, "apart_ms": 2.5, "fused_ms": 1.5, "again_ms": 0.5, "saved_ms": 0.25}'
END
made "$dir/made/bench_replicas" <<'END'
echo "out of memory" >&2
exit 3
END
begin=$(date +%s)
mkdir "$dir/seen"
PATH=$path QV_BUILD=$dir/made QV_CORPORA='' OUT=$dir/out SEEN=$dir/seen sh "$check" --python /nonexistent --seconds 20 \
    --parts selftest,fused,profile,replicas,train,kernels "$dir/out" >"$dir/out.log" 2>&1
code=$?
took=$(($(date +%s) - begin))
[ $code -eq 1 ] || { echo "exit code $code, expected 1"; bad=1; }
expect 'selftest: passed: fp32: 0 of 3 outside, tf32: 0 of 3 outside, bf16: 0 of 3 outside' "$dir/out.log"
expect 'fused: passed: 1 comparisons, 1 not supported' "$dir/out.log"
expect ' *small *conv+stats *1 *2.5 *1.5 *0.5 *0.25' "$dir/out.log"
expect 'profile: skipped: bench_step was not built (cmake -S . -B build -DQV_BENCH=ON)' "$dir/out.log"
expect 'replicas: failed: exit code 3, 0 of 6 sizes; .*out of memory' "$dir/out.log"
expect 'train: skipped: no corpus.*' "$dir/out.log"
expect 'kernels: failed: time limit, 1 cases' "$dir/out.log"
left "$dir/out"
expect 'kernels .* time limit, 1 cases' "$dir/out/summary.txt"
# Named by the program itself, since there is no nvidia-smi that knows.
expect '.*"device": "NVIDIA Made Up".*"memory": "79.6 GiB", "compute_capability": "9.0".*' "$dir/out/gpu.json"
expect ' "complete": true, .*' "$dir/out/gpu.json"
# What a run that is killed in its last part leaves.
expect ' "complete": false, .*' "$dir/seen/gpu.json"
expect '.*"name": "train", "status": "skipped", "seconds": [0-9]*, "before": null, "after": null.*' "$dir/seen/gpu.json"
expect 'out of memory' "$dir/seen/logs/replicas.log"
grep -q '"name": "kernels"' "$dir/seen/gpu.json" && { echo "a part was recorded before it ended"; bad=1; }
# The last part has what the others left, and no more; some seconds go to starting and to the record.
if [ $took -lt 15 ] || [ $took -gt 40 ]; then echo "it took $took s of 20"; bad=1; fi

# --- doctor fails, or nothing starts; how often is asked, and with what ---
mkdir "$dir/sick"
made "$dir/sick/quaver" <<'END'
case $1 in
doctor) echo "no driver"; exit 4 ;;
--version) echo "quaver 0" ;;
esac
END
made "$dir/sick/bench_step" <<'END'
while [ "$1" != --batch ]; do shift; done
for n in $(echo "$2" | tr , ' '); do echo "{\"batch\": $n}"; done
END
made "$dir/sick/test_kernels_gpu" </dev/null
# Tests and benches that find no device end well; what they did is nothing all the same.
made "$dir/bin/compute-sanitizer" <<'END'
echo "${QV_OPS:-all}" "$@"
case $* in *synccheck*) echo "ALL TESTS SKIPPED: no CUDA device" ;; *) echo "[  PASSED  ] 1 test(s)." ;; esac
END
made "$dir/sick/bench_kernels" <<'END'
echo "bench_kernels: skipped, no CUDA device: none there, $*"
END
made "$dir/sick/bench_fused" <<'END'
echo "bench_fused: skipped, no CUDA device: none there"
END
made "$dir/bin/nvidia-smi" <<'END'
case $1 in
*name*) echo "NVIDIA Made Up, 580.1, 80000 MiB, 9.0" ;;
*clocks.sm*) echo "1980, 98.55, [N/A]" ;;
esac
END
PATH=$path QV_BUILD=$dir/sick sh "$check" --python /nonexistent --seconds 60 --parts sweep,kernels,fused,sanitizer "$dir/ill" \
    >"$dir/ill.log" 2>&1
[ $? -eq 1 ] || { echo "a doctor that fails is no failure"; bad=1; }
expect 'doctor: failed: exit code 4; doctor.log ends: no driver' "$dir/ill.log"
expect 'sweep: passed: 21 of 21 sizes' "$dir/ill.log"
expect '.*"name": "sweep", .*"before": {"sm_mhz": 1980, "power_w": 98.55, "temperature_c": null}, "after": {.*' "$dir/ill/gpu.json"
expect 'kernels: failed: exit code 1, 0 cases; kernels.log ends: .* none there, --seconds 0[.]0[0-9]*' "$dir/ill.log"
expect 'fused: failed: exit code 1, 0 comparisons, 0 not supported; fused.log ends: .* none there' "$dir/ill.log"
expect 'sanitizer: failed: exit code 1, memcheck clean, racecheck clean, initcheck clean, synccheck ran no test; .*' "$dir/ill.log"
left "$dir/ill"
tar -C "$dir" -xzf "$dir/ill/logs.tar.gz"
expect "all --tool memcheck .* --small --every 19 --only in_tight_memory" "$dir/logs/sanitizer-memcheck.log"
expect "$shared --tool racecheck .*" "$dir/logs/sanitizer-racecheck.log"
expect "all --tool initcheck .*" "$dir/logs/sanitizer-initcheck.log"
expect "$shared --tool synccheck .*" "$dir/logs/sanitizer-synccheck.log"

made "$dir/sick/quaver" <<'END'
echo "no such library" >&2
exit 127
END
PATH=$path QV_BUILD=$dir/sick sh "$check" --parts sweep "$dir/dead" >"$dir/dead.log" 2>&1
[ $? -eq 1 ] || { echo "a program that does not start is no failure"; bad=1; }
expect 'gpu_check.sh: quaver does not start:' "$dir/dead.log"
expect 'no such library' "$dir/dead.log"

# --- one GPU of several ---
mkdir "$dir/several"
cp "$dir/made/quaver" "$dir/several/quaver"
made "$dir/bin/nvidia-smi" <<'END'
one='' what=''
while [ $# -gt 0 ]; do
    case $1 in -i) one=$2; shift ;; --query-gpu=*) what=$1 ;; esac
    shift
done
case $what in
*uuid*) printf 'GPU-00aa-1\nGPU-1b2c-2\nGPU-1b2d-3\n' ;;
*name*) echo "NVIDIA ${one:-of all}, 580.1, 80000 MiB, 9.0" ;;
*clocks.sm*) [ "$one" = 2 ] && echo "222, 98.55, 40" ;;
esac
END
made "$dir/several/bench_kernels" <<'END'
echo "{\"median_ms\": 1.0, \"sees\": \"$CUDA_DEVICE_ORDER ${CUDA_VISIBLE_DEVICES-all}\"}"
END
made "$dir/several/bench_replicas" <<'END'
echo "{\"asked for\": \"$2\", \"sees\": \"$CUDA_DEVICE_ORDER ${CUDA_VISIBLE_DEVICES-all}\"}"
END
# sees DEVICE LIST GPU: what CUDA_VISIBLE_DEVICES names, "-" for nothing, and what every program is to see of it.
sees() {
    (
        [ "$2" = - ] || export CUDA_VISIBLE_DEVICES="$2"
        PATH=$path QV_BUILD=$dir/several sh "$check" --python /nonexistent --parts kernels,replicas --device "$1" "$dir/one"
    ) >"$dir/one.log" 2>&1 || { echo "$1 of $2: it failed"; cat "$dir/one.log"; bad=1; }
    expect ".*\"device\": \"NVIDIA ${4:-$3}\", .*" "$dir/one/gpu.json"
    expect " *{\"median_ms\": 1.0, \"sees\": \"PCI_BUS_ID $3\"}.*" "$dir/one/gpu.json"
    expect " *{\"asked for\": \"cuda\", \"sees\": \"PCI_BUS_ID $3\"}.*" "$dir/one/gpu.json"
}
sees cuda - all 'of all'
sees cuda:2 - 2
expect '.*"name": "kernels", .*"before": {"sm_mhz": 222, .*' "$dir/one/gpu.json"
sees cuda 2,0 2
sees cuda:1 2,0 0
sees cuda:1 2,GPU-1b2d GPU-1b2d-3
sees cuda:GPU-1b2c - GPU-1b2c-2
sees cuda:GPU-ff - GPU-ff
CUDA_VISIBLE_DEVICES=2,0 PATH=$path QV_BUILD=$dir/several sh "$check" --device cuda:2 "$dir/one" >"$dir/one.log" 2>&1
[ $? -eq 2 ] || { echo "a GPU that is not visible was taken"; bad=1; }
expect 'gpu_check.sh: CUDA_VISIBLE_DEVICES=2,0 has no cuda:2' "$dir/one.log"

# --- patterns of which none is supported are nothing to decide by ---
made "$dir/several/bench_fused" <<'END'
echo '{"bench": "fused", "supported": false}'
END
PATH=$path QV_BUILD=$dir/several sh "$check" --python /nonexistent --parts fused "$dir/unfused" >"$dir/unfused.log" 2>&1 &&
    { echo "fused patterns without a time are no failure"; bad=1; }
expect 'fused: failed: exit code 1, 0 comparisons, 1 not supported: none to decide by (is the NVRTC .*' "$dir/unfused.log"

# --- beside a PyTorch that is made up, in a folder whose name is not one word ---
words="$dir/it's made up"
mkdir "$words"
cp "$dir/made/quaver" "$words/quaver"
made "$words/bench_step" <<'END'
[ "$# $1 $2 $3 $5" = "6 --device cuda --precision --batch" ] || exit 1
echo "{\"bench\": \"step\", \"contender\": \"quaver\", \"batch\": $6, \"median_ms\": 1.0}"
END
# Each contender takes $EACH seconds; that of $SLOW never ends, that of $BROKEN ends badly.
made "$words/python" <<'END'
case $2 in *version*) echo 2.0; exit ;; *is_available*) exit ;; esac
while [ $# -gt 0 ]; do
    case $1 in
    --contenders) contenders=$2 ;; --beside) beside=$2 ;; --batch) batch=$2 ;; --precision) precision=$2 ;;
    esac
    shift
done
eval "$beside"
for contender in $(echo "$contenders" | tr , ' '); do
    line="{\"round\": 0, \"bench\": \"step\", \"contender\": \"$contender\", \"precision\": \"$precision\", \"batch\": $batch"
    case $contender in
    "$SLOW") sleep 100 ;;
    "$BROKEN") echo "$line, \"failed\": -11}" ;;
    *) sleep "$EACH"; echo "$line, \"median_ms\": 2.0}" ;;
    esac
done
END
# step NAME SECONDS VARIABLE=VALUE CODE SAYS: a run of this part alone.
step() {
    env EACH=0 SLOW='' BROKEN='' "$3" PATH="$path" QV_BUILD="$words" \
        sh "$check" --python "$words/python" --seconds "$2" --parts step "$dir/$1" >"$dir/$1.log" 2>&1
    code=$?
    [ $code -eq "$4" ] || { echo "step $1: exit code $code, expected $4"; bad=1; }
    expect "step: $5" "$dir/$1.log"
}
step whole 60 EACH=0 0 'passed: 54 timings in 6 of 6 comparisons, 0 contenders missing'
expect ' *{"round": 3, "bench": "step", "contender": "compile", "precision": "bf16-stored", "batch": 64, .*' "$dir/whole/gpu.json"
expect ' *{"round": 1, "precision": "tf32", "bench": "step", "contender": "quaver", "batch": 64, .*' "$dir/whole/gpu.json"
step broken 60 BROKEN=compile 1 \
    'failed: exit code 1, 51 timings in 6 of 6 comparisons, 1 contenders missing: compile bf16-stored 64; .*'
step short 12 EACH=2 0 'passed: [36] timings in [12] of 6 comparisons, 0 contenders missing'
step slow 6 SLOW=compile-graph 1 \
    'failed: time limit, 2 timings in 1 of 6 comparisons, 1 contenders missing: compile-graph bf16-stored 64'

if command -v python3 >/dev/null; then
    for json in out/gpu seen/gpu ill/gpu whole/gpu; do
        python3 -m json.tool "$dir/$json.json" >/dev/null || { echo "$json.json is no JSON"; bad=1; }
    done
else
    echo "SKIPPED: no python3, so that whether gpu.json is JSON cannot be seen"
fi
[ $bad -eq 0 ] && echo "gpu_check.sh does what it says; $took s"
exit $bad
