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
for parts in cpu,selftest,train,kernels,fused,profile,sweep,replicas,study,step,sanitizer cpu,kernels step; do
    sum=$(sh "$check" --parts $parts --limits | awk '{ sum += $2 } END { print sum }')
    [ "$sum" -eq 540 ] || { echo "the limits of $parts are $sum s in sum, expected 540"; bad=1; }
done
[ "$(sh "$check" --limits | wc -l)" -eq 11 ] || { echo "expected eleven parts"; bad=1; }
[ "$(sh "$check" --limits | sed -n 's/^selftest //p')" -eq 87 ] || { echo "the selftest has another share"; bad=1; }
sh "$check" --help | grep -q -e '--parts study,step --seconds 280 OUT2$' || { echo "--help has no two commands"; bad=1; }
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
usable() { printf '  0            NVIDIA Made Up, compute capability 9.0, 79.6 GiB\n  cuda:0       can be used: NVIDIA Made Up\n'; }
# Ops that begin, may hang ($HANGS) or leave the GPU unusable ($BREAKS), and end; as the selftest says it.
test_ops() {
    for op in "op conv" "op pool" "step preact, odd" "training 50 steps"; do
        name=${op#op } name=${name%% *}
        case ,$skipped, in *,"$name",*) continue ;; esac
        echo "$op: begun" >&2
        [ "$op" != "${HANGS:-}" ] || exec sleep 100
        [ "$op" != "${BREAKS:-}" ] || { printf '{\n "stopped": "%s: the GPU does nothing more",\n "failed": 1\n}\n' "$op"; exit 1; }
        [ "$op" != "${ERRS:-}" ] || { echo "$op: 3 cases, 2 outside: not the same twice" >&2; errs=1; continue; }
        echo "$op: 3 cases, 0 outside" >&2
    done
    printf '{\n "stopped": "", "cases": 3, "failed": 0,\n "rows": [{"cases": 1}]\n}\n'
    exit ${errs:-0}
}
# What the GPU trains with WRONG: bits, UA, class or records.
train() {
    mkdir -p "$out"
    echo weights >"$out/best.safetensors"
    case $* in *cuda*bf16*) [ "$WRONG" != UA ] || { echo "gap 1 points: UA 0.300 in training, 0.300 in test"; return; } ;; esac
    echo "weights $([ "$WRONG" != bits ] || echo "$out")" >"$out/last.safetensors"
    case $* in *resume*) ;; *half*) trap 'exit 130' INT; while :; do sleep 0.1; done ;; esac
    printf 'UA        0.700\ngap       10.0 points: UA 0.800 in training, 0.700 in test\n'
}
skipped='' out='' command=$1
for word; do
    case ${last:-} in --skip) skipped=$word ;; --out) out=$word ;; --device) device=$word ;; esac
    last=$word
done
case $command in
doctor) usable ;;
selftest) test_ops ;;
--version) echo "quaver 0" ;;
train) train "$@" ;;
eval) echo "UA        0.700" ;;
predict) [ "$WRONG$device" != classcuda ] && printf 'a,b\nx.wav,0.5001\n' >"$out" || printf 'a,b\nx.wav,0.6\n' >"$out" ;;
study) mkdir -p "$out/records"; for i in 1 2 3 4 5 6 7 8; do [ "$WRONG$i" = records8 ] || : >"$out/records/$i"; done ;;
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
echo 'AUTOTUNE convolution(64x64)'
echo "{'no': 'JSON'}"
echo '{"half a li'
echo '{"bench": "fused_step", "preset": "small", "pattern": "conv+stats", "supported": 1, "unsupported": 1, "apart_ms": 2.5, "fused_ms": 1.5, "again_ms": 0.5, "saved_ms": 0.25}'
END
made "$dir/made/bench_replicas" <<'END'
echo "out of memory, öäü" >&2
exit 3
END
begin=$(date +%s)
mkdir "$dir/seen"
PATH=$path QV_BUILD=$dir/made QV_CORPORA='' OUT=$dir/out SEEN=$dir/seen sh "$check" --python /nonexistent \
    --seconds 20 --parts selftest,fused,profile,replicas,kernels "$dir/out" >"$dir/out.log" 2>&1
code=$?
took=$(($(date +%s) - begin))
[ $code -eq 1 ] || { echo "exit code $code, expected 1"; bad=1; }
expect 'selftest: passed: fp32: 0 of 12 cases outside, tf32: 0 of 12 cases outside, bf16: 0 of 12 cases outside' "$dir/out.log"
expect 'fused: passed: 1 comparisons, 1 not supported' "$dir/out.log"
expect ' *small *conv+stats *1 *2.5 *1.5 *0.5 *0.25' "$dir/out.log"
expect 'profile: skipped: bench_step was not built (cmake -S . -B build -DQV_BENCH=ON)' "$dir/out.log"
expect 'replicas: failed: exit code 3, 0 of 12 sizes; .*out of memory, ??????' "$dir/out.log"
expect 'kernels: failed: time limit, 1 cases' "$dir/out.log"
left "$dir/out"
expect 'kernels .* time limit, 1 cases' "$dir/out/summary.txt"
# Named by the program itself, since there is no nvidia-smi that knows.
expect '.*"device": "NVIDIA Made Up".*"memory": "79.6 GiB", "compute_capability": "9.0".*' "$dir/out/gpu.json"
expect ' "complete": true, .*' "$dir/out/gpu.json"
# What a run that is killed in its last part leaves.
expect ' "complete": false, .*' "$dir/seen/gpu.json"
expect '.*"name": "profile", "status": "skipped", "seconds": [0-9]*, "before": null, "after": null.*' "$dir/seen/gpu.json"
expect 'out of memory.*' "$dir/seen/logs/replicas.log"
grep -q '"name": "kernels"' "$dir/seen/gpu.json" && { echo "a part was recorded before it ended"; bad=1; }
# The last part has what the others left, and no more; some seconds go to starting and to the record.
if [ $took -lt 15 ] || [ $took -gt 40 ]; then echo "it took $took s of 20"; bad=1; fi

# --- what trains wrongly, and ops that hang or leave the GPU unusable ---
# trains WRONG SAYS: a run of the part train.
trains() {
    PATH=$path QV_BUILD=$dir/made QV_CORPORA='' WRONG=$1 sh "$check" --python /nonexistent --parts train "$dir/train" >"$dir/train.log" 2>&1
    expect "train: $2" "$dir/train.log"
}
wrong() { trains "$1" "failed: exit code 1, $2; .*"; }
head='corpus ok, cpu UA 0.700, fp32 UA 0.700' halves='whole UA 0.700, interrupted ok, resumed UA 0.700'
tail='eval-cpu UA 0.700, predict-cpu ok, eval-cuda UA 0.700, predict-cuda ok, study ok; no EMO-DB .*'
trains '' "passed: $head, bf16 UA 0.700, $halves, $tail"
expect ' *{"part": "train", "step": "bf16", "ok": true, "ua": 0.700, "ua_in_training": 0.800, "seconds": .*' "$dir/train/gpu.json"
wrong UA "$head, bf16 UA in training 0.300, on the processor 0.800, $halves, $tail"
wrong bits "$head, bf16 UA 0.700, ${halves%UA 0.700}other bits in last.safetensors, $tail"
wrong class "$head, bf16 UA 0.700, $halves, $(echo "$tail" | sed 's/predict-cuda ok/predict-cuda not what the processor says/')"
wrong records "$head, bf16 UA 0.700, $halves, $(echo "$tail" | sed 's/study ok/study 7 of 8 records/')"
# struck VARIABLE=OP SAYS [SECONDS QUIET]: a run of the part selftest.
struck() {
    env "$1" PATH="$path" QV_BUILD="$dir/made" QV_QUIET="${4:-3}" sh "$check" --python /nonexistent --parts selftest \
        --seconds "${3:-60}" "$dir/struck" >"$dir/struck.log" 2>&1 && { echo "$1 is no failure"; bad=1; }
    expect "selftest: failed: $2" "$dir/struck.log"
}
all='0 of 9 cases outside'
struck 'HANGS=op pool' "exit code 1, fp32: $all, op pool does not end, tf32: $all, bf16: $all; .*"
over='0 of 3 cases outside, op pool when its time was over'
struck 'HANGS=op pool' "time limit, fp32: $over, tf32: .*" 6 100
each='2 of 12 cases outside in op conv'
struck 'ERRS=op conv' "exit code 1, fp32: $each, tf32: $each, bf16: $each; .*"
broke='ended it with exit code 1'
struck 'BREAKS=step preact, odd' "exit code 1, fp32: $all, step preact, odd $broke, tf32: $all, step preact, odd $broke, bf16: $all, step preact, odd $broke; .*"
tar -C "$dir" -xzf "$dir/struck/logs.tar.gz"
[ "$(cat "$dir/logs/selftest-bf16.log")" = "$(printf '%s\n' 'op conv: begun' 'op conv: 3 cases, 0 outside' 'op pool: begun' \
    'op pool: 3 cases, 0 outside' 'step preact, odd: begun' 'training 50 steps: begun' 'training 50 steps: 3 cases, 0 outside')" ] ||
    { echo "the selftest went on with:"; cat "$dir/logs/selftest-bf16.log"; bad=1; }
# And what struck it is looked at by memcheck.
made "$dir/bin/compute-sanitizer" <<'END'
case $* in *selftest*) echo "========= Invalid __global__ write of size 2 bytes" ;; *) echo "[  PASSED  ] 1 test(s)." ;; esac
echo "$@"
END
made "$dir/made/test_kernels_gpu" </dev/null
BREAKS='op pool' PATH=$path QV_BUILD=$dir/made sh "$check" --python /nonexistent --parts selftest,sanitizer "$dir/struck" >"$dir/struck.log" 2>&1
looked='memcheck of fp32-pool 1 FOUND (Invalid __global__ write of size 2 bytes [^)]*)'
expect "sanitizer: failed: exit code 99, $looked, memcheck clean, racecheck clean, initcheck clean, synccheck clean; .*" "$dir/struck.log"
tar -C "$dir" -xzf "$dir/struck/logs.tar.gz"
expect ".*/quaver selftest --device cuda --precision fp32 --only pool --small -q" "$dir/logs/sanitizer-memcheck-fp32-pool.log"
rm "$dir/made/test_kernels_gpu"
# In a bundle what finds the libraries starts the tool, and not the other way round.
mkdir "$dir/bundle"
cp "$check" "$dir/made/quaver" "$dir/bundle/"
echo made >"$dir/bundle/BUNDLE"
made "$dir/bundle/test_kernels_gpu" <<'END'
echo "[  PASSED  ] 1 test(s). under $QV_UNDER: $*"
END
PATH=$path sh "$dir/bundle/gpu_check.sh" --python /nonexistent --parts sanitizer "$dir/bundled" >"$dir/bundled.log" 2>&1
tar -C "$dir" -xzf "$dir/bundled/logs.tar.gz"
expect ".* under .*compute-sanitizer --tool synccheck --error-exitcode 99: --small .*" "$dir/logs/sanitizer-synccheck.log"

# --- doctor fails, or nothing starts; how often is asked, and with what ---
mkdir "$dir/sick"
made "$dir/sick/quaver" <<'END'
case $1 in
doctor) echo "no driver"; exit 4 ;;
--version) echo "quaver 0" ;;
esac
END
made "$dir/sick/bench_step" <<'END'
case $* in *--profile*)
    echo 'conv               1.234 ms   56.7 %' >&2
    echo '  conv          64 x   64 x    1 to   64 x   64 x   32, 3 x 3, groups 1:    0.1234 ms,   1234.5 GFLOP/s (stem.conv)' >&2
    ;;
esac
while [ "$1" != --batch ]; do shift; done
for n in $(echo "$2" | tr , ' '); do echo "{\"batch\": $n}"; done
END
made "$dir/sick/test_kernels_gpu" </dev/null
# Tests and benches that find no device end well; what they did is nothing all the same.
made "$dir/bin/compute-sanitizer" <<'END'
echo "${QV_OPS:-all}" "$@"
echo "========= COMPUTE-SANITIZER"
case $* in
*memcheck*) echo "========= Invalid __global__ read of size 4 bytes"; echo "=========     at pool+0x10 in pool.cu:67"; sleep 100 ;;
*initcheck*) echo "========= Uninitialized __global__ memory read of size 4 bytes"; echo "=========     at add.cu:7"; exit 99 ;;
*synccheck*) echo "ALL TESTS SKIPPED: no CUDA device" ;;
*) echo "[  PASSED  ] 1 test(s)." ;;
esac
echo "========= ERROR SUMMARY: 0 errors"
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
PATH=$path QV_BUILD=$dir/sick sh "$check" --python /nonexistent --seconds 30 --parts sweep,profile,kernels,fused,sanitizer "$dir/ill" \
    >"$dir/ill.log" 2>&1
[ $? -eq 1 ] || { echo "a doctor that fails is no failure"; bad=1; }
expect 'doctor: failed: exit code 4; doctor.log ends: no driver' "$dir/ill.log"
expect 'sweep: passed: 21 of 21 sizes' "$dir/ill.log"
expect '.*"name": "sweep", .*"before": {"sm_mhz": 1980, "power_w": 98.55, "temperature_c": null}, "after": {.*' "$dir/ill/gpu.json"
expect 'kernels: failed: exit code 1, 0 cases; kernels.log ends: .* none there, --seconds 0[.]0[0-9]*' "$dir/ill.log"
expect 'fused: failed: exit code 1, 0 comparisons, 0 not supported; fused.log ends: .* none there' "$dir/ill.log"
expect 'profile: passed: 6 lines' "$dir/ill.log"
expect ' *{"precision": "bf16", "batch": 64, "op": "conv", "ms": 1.234, "percent": 56.7}.*' "$dir/ill/gpu.json"
line='"op": "conv", "from": "64 x 64 x 1", "to": "64 x 64 x 32", "kernel": 3, "groups": 1, "ms": 0.1234, "gflops": 1234.5'
expect " *{\"precision\": \"fp32\", \"batch\": 256, $line, \"weights\": \"stem.conv\"}.*" "$dir/ill/gpu.json"
read_at='1 FOUND, time limit (Invalid __global__ read of size 4 bytes at pool+0x10 in pool.cu:67)'
unread='1 FOUND (Uninitialized __global__ memory read of size 4 bytes at add.cu:7)'
expect "sanitizer: failed: exit code 1, memcheck $read_at, racecheck clean, initcheck $unread, synccheck ran no test; .*" "$dir/ill.log"
expect ' *{"part": "sanitizer", "tool": "memcheck", "of": "tests", "found": 1, "exit_code": 124}.*' "$dir/ill/gpu.json"
left "$dir/ill"
tar -C "$dir" -xzf "$dir/ill/logs.tar.gz"
expect "all --tool memcheck .* --small --every 19 --only in_tight_memory" "$dir/logs/sanitizer-memcheck.log"
expect "$shared --tool racecheck .*" "$dir/logs/sanitizer-racecheck.log"
expect "all --tool initcheck .*" "$dir/logs/sanitizer-initcheck.log"
expect "$shared --tool synccheck .*" "$dir/logs/sanitizer-synccheck.log"

made "$dir/sick/quaver" <<'END'
case $1 in
doctor) echo "  cuda:0       cannot be used: the driver speaks CUDA 12.2" ;;
--version) echo "quaver 0" ;;
esac
END
PATH=$path QV_BUILD=$dir/sick sh "$check" --python /nonexistent --parts cpu,sweep "$dir/old" >"$dir/old.log" 2>&1
[ $? -eq 1 ] || { echo "a driver that is too old is no failure"; bad=1; }
expect 'doctor: failed: NVIDIA Made Up: cannot be used: the driver speaks CUDA 12.2' "$dir/old.log"
expect 'sweep: skipped: cannot be used: the driver speaks CUDA 12.2' "$dir/old.log"

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
case "$# $1 $2 $3 $5 ${7:-}" in
'6 --device cuda --precision --batch ') tuned=false ms=1.0 ;;
'7 --device cuda --precision --batch --autotune') tuned=true ms=0.5 ;;
*) exit 1 ;;
esac
echo "{\"bench\": \"step\", \"contender\": \"quaver\", \"batch\": $6, \"autotune\": $tuned, \"median_ms\": $ms}"
END
made "$words/bench_study" <<'END'
[ "$*" = '--device cuda --precision bf16 --epochs 20 --replicas 8,4,1' ] || exit 1
for line in '8, "total_min": 20.0' '4, "total_min": 25.0' '1, "total_min": 40.0'; do
    echo "{\"bench\": \"study\", \"contender\": \"quaver\", \"replicas\": $line}"
done
END
# Each contender takes $EACH seconds; that of $SLOW never ends, that of $BROKEN ends badly.
made "$words/python" <<'END'
case $2 in *version*) echo 2.0; exit ;; *is_available*) exit ;; esac
script=$1
while [ $# -gt 0 ]; do
    case $1 in
    --contenders) contenders=$2 ;; --beside) beside=$2 ;; --batch) batch=$2 ;; --precision) precision=$2 ;;
    esac
    shift
done
eval "$beside"
case $script in *torch_study.py)
    for line in "eager\", \"ratio\": 4.0" "channels-last\", \"${BROKEN:-ratio}\": 2.5"; do
        echo "{\"bench\": \"study\", \"contender\": \"$line}"
    done
    exit
    ;;
esac
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
step whole 60 EACH=0 0 'passed: 48 timings in 4 of 4 comparisons, 0 contenders missing'
expect ' *{"round": 3, "bench": "step", "contender": "compile", "precision": "bf16-stored", "batch": 64, .*' "$dir/whole/gpu.json"
expect ' *{"round": 1, "precision": "tf32", "bench": "step", "contender": "quaver", "batch": 64, "autotune": true, .*' "$dir/whole/gpu.json"
expect ' *tf32 *quaver tuned *64 *0.5 *' "$dir/whole/summary.txt"
expect 'eager / quaver, bf16, batch 64 *2.00 *>= 3 *missed' "$dir/whole/summary.txt"
expect 'eager / quaver tuned, bf16, batch 256 *4.00 *>= 1.8 *reached' "$dir/whole/summary.txt"
expect 'compiled / quaver, tf32, batch 64 *2.00 *>= 1.3 *reached' "$dir/whole/summary.txt"
expect 'ms a step, bf16, batch 64 *1.00 *<= 1.037 *reached' "$dir/whole/summary.txt"
expect 'least share of the copy bandwidth *no figure *>= 0.85 *' "$dir/whole/summary.txt"
step broken 60 BROKEN=compile 1 \
    'failed: exit code 1, 45 timings in 4 of 4 comparisons, 1 contenders missing: compile bf16-stored 64; .*'
step short 12 EACH=2 0 'passed: [0-9]* timings in [123] of 4 comparisons, 0 contenders missing'
step slow 6 SLOW=compile-graph 1 \
    'failed: time limit, 3 timings in 1 of 4 comparisons, 1 contenders missing: compile-graph bf16-stored 64'

# study NAME PYTHON VARIABLE=VALUE CODE SAYS
study() {
    env BROKEN='' "$3" PATH="$path" QV_BUILD="$words" sh "$check" --python "$2" --parts study "$dir/$1" >"$dir/$1.log" 2>&1
    code=$?
    [ $code -eq "$4" ] || { echo "study $1: exit code $code, expected $4"; bad=1; }
    expect "study: $5" "$dir/$1.log"
}
study learned "$words/python" EACH=0 0 'passed: 3 of 3 numbers of trainings, 2 of 2 ways of PyTorch'
expect 'minutes of 400 trainings, evaluations counted, 8 at a time *20.00 *<= 30 *reached' "$dir/learned/summary.txt"
expect 'eager one after the other / quaver, 400 trainings *2.50 *>= 3 *missed' "$dir/learned/summary.txt"
study alone /nonexistent EACH=0 0 'passed: 3 of 3 numbers of trainings; no PyTorch in /nonexistent .*'
expect 'minutes of 400 trainings, .*reached' "$dir/alone/summary.txt"
study lame "$words/python" BROKEN=failed 1 'failed: exit code 1, 3 of 3 numbers of trainings, 1 of 2 ways of PyTorch; .*'

if command -v python3 >/dev/null; then
    for json in out/gpu seen/gpu ill/gpu whole/gpu struck/gpu learned/gpu; do
        python3 -m json.tool "$dir/$json.json" >/dev/null || { echo "$json.json is no JSON"; bad=1; }
    done
else
    echo "SKIPPED: no python3, so that whether gpu.json is JSON cannot be seen"
fi
[ $bad -eq 0 ] && echo "gpu_check.sh does what it says; $took s"
exit $bad
