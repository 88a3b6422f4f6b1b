#!/bin/sh
# Everything that there is to know about this program on this machine's GPU, in at most nine minutes:
#
#   gpu_check.sh [--parts LIST] [--seconds N] [--device D] [--python PYTHON] OUT
#   gpu_check.sh [--parts LIST] [--seconds N] --limits      what each part may take, and nothing else
#   gpu_check.sh --help                                     this text
#
#   cpu        quaver selftest on the processor: the control
#   selftest   quaver selftest on the GPU, in fp32, tf32 and bf16
#   kernels    each kernel's share of the copy bandwidth measured in the same run
#   fused      cuDNN's fused patterns against separate ops, in turn (bench/bench_fused.c)
#   profile    what each kind of op takes of a training step at batch 256, in bf16 and fp32
#   sweep      training steps, batches of 16 to 1024 (fp32: to 256), in each precision; in bf16 two sizes with run.autotune
#   replicas   several trainings side by side
#   step       training steps against PyTorch's, in turn (bench/peers/torch_step.py)
#   train      the five EMO-DB folds in fp32 and bf16, where QV_CORPORA names a folder with emodb in it
#   sanitizer  compute-sanitizer memcheck, racecheck, initcheck and synccheck on some small cases of the kernels' tests
#
# It runs from a checkout that was built (QV_BUILD, default build/) or from the bundle of gpu_bundle.sh. All parts
# together take --seconds at most (540, since GPUs are often lent for ten minutes a command): each has a share of them,
# and what a part leaves goes to those after it. A part that cannot run is skipped with the reason; one that fails, takes
# too long or ends without a result does not stop the others. Exit code 1 if a part failed, 0 if all that could run
# passed.
#
# PyTorch's compiler is slow where nothing is in its caches, and step measures what its time allows: PyTorch at its best
# first, then other sizes and precisions, then all of them again. Two commands give it time enough for each:
#
#   gpu_check.sh --parts cpu,selftest,kernels,fused,profile,sweep,replicas,sanitizer --seconds 400 OUT1
#   gpu_check.sh --parts step --seconds 300 OUT2
#
# --device cuda:1 or cuda:GPU-1b2c... (nvidia-smi -L) makes that GPU the only one that any of the programs sees. Numbers
# are nvidia-smi's, or where CUDA_VISIBLE_DEVICES is set, places in it; cuda is the first.
#
# Leaves three files, anew after each part, so that a run that is killed leaves what it has: OUT/gpu.json has device,
# versions, commit, every figure, and the GPU's clock, power and temperature before and after each part ("complete":
# false where it was stopped); OUT/summary.txt is the table that is printed; OUT/logs.tar.gz what each part printed, in
# PART.log.
set -u
LC_ALL=C # awk reads and writes numbers with a point
export LC_ALL

usage() {
    echo "usage: gpu_check.sh [--parts cpu,selftest,...] [--seconds N] [--device cuda] [--python PYTHON] OUT" >&2
    echo "       gpu_check.sh [--parts cpu,selftest,...] [--seconds N] --limits | --help" >&2
    exit 2
}

all_parts=cpu,selftest,kernels,fused,profile,sweep,replicas,step,train,sanitizer
parts=$all_parts seconds=540 device=cuda python=${PYTHON:-} limits=0 out=
while [ $# -gt 0 ]; do
    case $1 in
    --parts | --seconds | --device | --python)
        [ $# -ge 2 ] || usage
        case $1 in --parts) parts=$2 ;; --seconds) seconds=$2 ;; --device) device=$2 ;; --python) python=$2 ;; esac
        shift 2
        ;;
    --limits) limits=1; shift ;;
    --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -*) usage ;;
    *) [ -z "$out" ] || usage; out=$1; shift ;;
    esac
done
[ $limits -eq 1 ] || [ -n "$out" ] || usage
case $seconds in '' | *[!0-9]*) usage ;; esac
for p in $(echo "$parts" | tr , ' '); do
    case ,$all_parts, in *,"$p",*) ;; *) echo "gpu_check.sh: there is no part $p; parts are $all_parts" >&2; exit 2 ;; esac
done

# Seconds of 540.
share_of() {
    case $1 in
    cpu) echo 10 ;;
    selftest) echo 110 ;; # what all else rests on; some 430 programs a precision
    kernels | fused) echo 50 ;;
    profile) echo 20 ;;
    sweep | replicas) echo 40 ;;
    step) echo 130 ;;
    train) echo 30 ;;
    sanitizer) echo 60 ;;
    esac
}

# limit_of SECONDS PART PARTS_AFTER_IT...: its part of so many seconds for all of them.
limit_of() {
    of=$1 own=$(share_of "$2") sum=0
    shift
    for p in "$@"; do sum=$((sum + $(share_of "$p"))); done
    echo $((of * own / sum))
}

if [ $limits -eq 1 ]; then
    # shellcheck disable=SC2046 # a list
    set -- $(echo "$parts" | tr , ' ')
    rest=$seconds
    while [ $# -gt 0 ]; do
        limit=$(limit_of "$rest" "$@")
        echo "$1 $limit"
        rest=$((rest - limit))
        shift
    done
    exit 0
fi

here=$(cd "$(dirname "$0")" && pwd)
if [ -f "$here/BUNDLE" ]; then
    root=$here build=$here peers=$here/peers
else
    root=$(cd "$here/.." && pwd) build=${QV_BUILD:-$root/build} peers=$here/peers
fi
mkdir -p "$out" || exit 1
out=$(cd "$out" && pwd)
work=$(mktemp -d) || exit 1 # what the parts write; OUT has it as one file
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
logs=$work/logs
mkdir "$logs"
started=$(date +%s)
: >"$work/parts"

# Where a program of this project is; nothing where it was not built.
tool() {
    for folder in "$build" "$build/bench" "$build/tests/kernels"; do
        [ -x "$folder/$1" ] && { echo "$folder/$1"; return; }
    done
}

left() { echo $((started + seconds - $(date +%s))); }

# limited N COMMAND...: stopped after an nth of what is left to the part, or at once where that is nothing; 124: it was.
limited() {
    limit=$((part_until - $(date +%s)))
    [ $limit -gt 0 ] || return 124
    limit=$(((limit + $1 - 1) / $1))
    shift
    timeout -k 5 $limit "$@"
}

# How many a list "16,64" names.
count() { echo "$1" | tr , '\n' | wc -l; }

# Text as the inside of a JSON string.
quote() { printf '%s' "$*" | tr '\n\t' '  ' | tr -d '\000-\037' | sed 's/\\/\\\\/g; s/"/\\"/g'; }

# ask_state: the GPU's state as a JSON object, or null, in $state. An nvidia-smi that fails once is not asked again: it
# might hang each time.
state=null smi=$(command -v nvidia-smi)
[ -n "${CUDA_VISIBLE_DEVICES-all}" ] || smi='' # nobody is to see one
ask_state() {
    state=null
    [ -n "$smi" ] || return
    state=$(timeout -k 5 10 "$smi" --query-gpu=clocks.sm,power.draw,temperature.gpu --format=csv,noheader,nounits \
        ${one:+-i "$one"} 2>/dev/null |
        awk -F ' *, *' 'function figure(x) { return x ~ /^ *[0-9.]+ *$/ ? x + 0 : "null" }
            NR == 1 && NF == 3 {
                printf "{\"sm_mhz\": %s, \"power_w\": %s, \"temperature_c\": %s}", figure($1), figure($2), figure($3)
            }')
    [ -n "$state" ] || { state=null smi=''; }
}

# note PART STATUS WHY
note() {
    took=$(($(date +%s) - part_started))
    ask_state
    printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$took" "$before" "$state" "$3" >>"$work/parts"
    echo "$1: $2${3:+: $3}" >&2
}

skip() { note "$part" skipped "$1"; }

# verdict CODE [WHAT]: of a command of a part with one command.
verdict() {
    case $1 in
    0) note "$part" passed "${2:-}" ;;
    124 | 137) note "$part" failed "time limit${2:+, $2}" ;;
    *) note "$part" failed "exit code $1${2:+, $2}; $part.log ends: $(tail -n 1 "$logs/$part.log" 2>/dev/null | cut -c 1-160)" ;;
    esac
}

# A number or text of a flat JSON line.
field() { sed -n "s/.*\"$1\": *\"\{0,1\}\([^,\"}]*\).*/\1/p"; }

# --- what is here ---

# One GPU for all: the kernels' tests, the fused patterns and PyTorch take the first that they see. $one is its number for
# nvidia-smi and, in that order, for CUDA, or its UUID; empty where all are seen and the first is meant.
case $device in cuda) one=${CUDA_VISIBLE_DEVICES:+0} ;; cuda:*) one=${device#cuda:} ;; *) one='' ;; esac
case $one in
'' | *[!0-9]*) ;;
*)
    if [ -n "${CUDA_VISIBLE_DEVICES+set}" ]; then
        one=$(echo "$CUDA_VISIBLE_DEVICES" | tr , '\n' | sed -n "$((one + 1))p")
        [ -n "$one" ] || { echo "gpu_check.sh: CUDA_VISIBLE_DEVICES=$CUDA_VISIBLE_DEVICES has no $device" >&2; exit 2; }
    fi
    ;;
esac
case $one in
*[!0-9]*) # the beginning of a UUID is enough for CUDA, not for nvidia-smi
    uuid=$([ -z "$smi" ] || timeout -k 5 20 "$smi" --query-gpu=uuid --format=csv,noheader 2>/dev/null |
        awk -v begin="$one" 'index($0, begin) == 1 { print; exit }')
    one=${uuid:-$one}
    ;;
esac
export CUDA_DEVICE_ORDER=PCI_BUS_ID
[ -z "$one" ] || { device=cuda && export CUDA_VISIBLE_DEVICES="$one"; }

[ -n "$python" ] || for p in python3 python; do
    command -v $p >/dev/null && { python=$p; break; }
done
quaver=$(tool quaver) before=null
commit=$(cat "$root/COMMIT" 2>/dev/null || git -C "$root" rev-parse --short HEAD 2>/dev/null || echo unknown)
part_started=$started
[ -n "$quaver" ] || { echo "gpu_check.sh: no quaver in $build: build first, or name the build folder in QV_BUILD" >&2; exit 1; }
export PYTHON="$python" # whose libraries the bundle may use
version=$(timeout -k 5 60 "$quaver" --version 2>"$logs/doctor.log") || {
    echo "gpu_check.sh: quaver does not start:" >&2
    cat "$logs/doctor.log" >&2
    exit 1
}
# It starts, so what doctor stumbles over is no reason to try nothing else: the parts say what works.
part=doctor
timeout -k 5 120 "$quaver" doctor >"$logs/doctor.log" 2>&1
doctor=$?
[ $doctor -eq 0 ] || verdict $doctor

# The GPU's name: of nvidia-smi, which knows most; else of the driver, asked by the program itself.
gpu='' driver='' memory='' capability=''
if [ -n "$smi" ]; then
    line=$(timeout -k 5 20 "$smi" --query-gpu=name,driver_version,memory.total,compute_cap --format=csv,noheader \
        ${one:+-i "$one"} 2>/dev/null | head -n 1)
    case $line in
    *,*,*,*)
        gpu=$(echo "$line" | cut -d, -f1 | sed 's/^ *//; s/ *$//')
        driver=$(echo "$line" | cut -d, -f2 | tr -d ' ')
        memory=$(echo "$line" | cut -d, -f3 | sed 's/^ *//')
        capability=$(echo "$line" | cut -d, -f4 | tr -d ' ')
        ;;
    esac
fi
if [ -z "$gpu" ]; then
    line=$(sed -n 's/^  0  *//p' "$logs/doctor.log" | head -n 1)
    gpu=${line%%, compute*}
    case $line in *", compute capability "*)
        capability=$(echo "$line" | sed 's/.*compute capability \([0-9.]*\).*/\1/')
        memory=$(echo "$line" | sed 's/.*, //')
        ;;
    esac
fi
torch=$([ -n "$python" ] && "$python" -c 'import importlib.metadata as m; print(m.version("torch"))' 2>/dev/null)
toolkit=$(nvcc --version 2>/dev/null | sed -n 's/.*release \([0-9.]*\).*/\1/p')
why_no_gpu="no device"
if [ -z "$gpu" ]; then
    why=$(sed -n 's/^  none can be used  *//p' "$logs/doctor.log" | head -n 1)
    why_no_gpu="no device: ${why:-doctor found none}"
fi

# --- parts ---

part_cpu() {
    limited 1 "$quaver" selftest --device cpu --json -q >"$logs/cpu.jsonl" 2>"$logs/cpu.log"
    verdict $? "$(field failed <"$logs/cpu.jsonl" | head -n 1) of $(field cases <"$logs/cpu.jsonl" | head -n 1) cases outside"
}

part_selftest() {
    worst=0 said='' turns=3
    for precision in fp32 tf32 bf16; do
        limited $turns "$quaver" selftest --device "$device" --precision $precision --json -q >"$logs/selftest-$precision.jsonl" 2>>"$logs/selftest.log"
        code=$? turns=$((turns - 1))
        [ $code -eq 0 ] || worst=$code
        n=$(field cases <"$logs/selftest-$precision.jsonl" | head -n 1)
        said="$said${said:+, }$precision: $([ -n "$n" ] && echo "$(field failed <"$logs/selftest-$precision.jsonl" | head -n 1) of $n outside" || echo "no result")"
    done
    cat "$logs"/selftest-*.jsonl >"$logs/selftest.jsonl"
    verdict $worst "$said"
}

# The ops whose kernels have shared memory, barriers, shuffles or tickets: in others there are no races to look for.
shared_ops=conv,conv_grad_x,conv_grad_w,bn_stats,bn_measure,bn_grad_sums,block_end,pool,loss,unit,unit_grad,margin,center,clip,gather

part_sanitizer() {
    tests=$(tool test_kernels_gpu) sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
    [ -n "$tests" ] || { skip "test_kernels_gpu was not built (cmake -S . -B build -DQV_TESTS=ON)"; return; }
    [ -n "$sanitizer" ] || { skip "no compute-sanitizer: it comes with the CUDA toolkit"; return; }
    worst=0 said='' turns=4
    for check in memcheck racecheck initcheck synccheck; do
        case $check in racecheck | synccheck) export QV_OPS=$shared_ops ;; *) unset QV_OPS ;; esac
        # Where an allocation ends with the operand, memcheck sees what reaches past it. Each 19th of some 5,500 cases,
        # which would not end in the time of this part; a prime, since options of the cases come in cycles of a few.
        limited $turns "$sanitizer" --tool $check --target-processes all --error-exitcode 99 \
            "$tests" --small --every 19 --only in_tight_memory >"$logs/sanitizer-$check.log" 2>&1
        code=$? turns=$((turns - 1))
        said="$said${said:+, }$check $(case $code in 0) echo clean ;; 99) echo "FOUND ERRORS" ;; 124 | 137) echo "time limit" ;; *) echo "exit code $code" ;; esac)"
        # A test that finds no device says that it was skipped, and ends well.
        if [ $code -eq 0 ] && ! grep -q '\[  PASSED  \] [1-9]' "$logs/sanitizer-$check.log"; then
            code=1 said="${said%clean}ran no test"
        fi
        [ $code -eq 0 ] || worst=$code
        printf '{"part": "sanitizer", "tool": "%s", "exit_code": %d}\n' $check $code >>"$logs/sanitizer.jsonl"
    done
    unset QV_OPS
    cat "$logs"/sanitizer-*.log >"$logs/sanitizer.log"
    verdict $worst "$said"
}

# The table of bench_step --profile, a line "conv   1.234 ms   5.6 %" an op, as JSON.
profile_table='s/^\([a-z_0-9]*\)  *\([0-9.]*\) ms  *\([0-9.]*\) %$/{"op": "\1", "ms": \2, "percent": \3}/p'

# Op by op, so of a batch whose ops take the GPU longer than the host takes to launch them.
part_profile() {
    bench=$(tool bench_step) worst=0 turns=2
    [ -n "$bench" ] || { skip "bench_step was not built (cmake -S . -B build -DQV_BENCH=ON)"; return; }
    for precision in bf16 fp32; do
        limited $turns "$bench" --device "$device" --precision $precision --batch 256 --profile >"$logs/profile-$precision.log" 2>&1
        code=$? turns=$((turns - 1))
        [ $code -eq 0 ] || worst=$code
        sed -n "$profile_table" "$logs/profile-$precision.log" | sed "s/^{/{\"precision\": \"$precision\", /" >>"$logs/profile.jsonl"
    done
    cat "$logs"/profile-*.log >"$logs/profile.log"
    [ $worst -ne 0 ] || [ -s "$logs/profile.jsonl" ] || worst=1
    verdict $worst "$(wc -l <"$logs/profile.jsonl") lines"
}

# 235 cases of 0.15 s, or of less where the part has less: two fifths of its time are for what surrounds them.
part_kernels() {
    bench=$(tool bench_kernels)
    [ -n "$bench" ] || { skip "bench_kernels was not built (cmake -S . -B build -DQV_BENCH=ON)"; return; }
    each=$(awk -v limit=$((part_until - $(date +%s))) 'BEGIN { each = 0.6 * limit / 235; print each < 0.15 ? each : 0.15 }')
    limited 1 "$bench" --seconds "$each" >"$logs/kernels.log" 2>&1
    code=$?
    grep '^{' "$logs/kernels.log" >"$logs/kernels.jsonl"
    measured=$(grep -c median_ms "$logs/kernels.jsonl")
    [ $code -ne 0 ] || [ "$measured" -gt 0 ] || code=1
    copies=$(grep copy_again "$logs/kernels.jsonl")
    verdict $code "$measured cases${copies:+, copy $(echo "$copies" | field copy_gb_per_s) GB/s, at the end $(echo "$copies" | field copy_again_gb_per_s)}"
}

part_fused() {
    bench=$(tool bench_fused)
    [ -n "$bench" ] || { skip "bench_fused was not built (cmake -S . -B build -DQV_BENCH=ON)"; return; }
    limited 1 "$bench" >"$logs/fused.log" 2>&1
    code=$?
    grep '^{' "$logs/fused.log" >"$logs/fused.jsonl"
    compared=$(grep -c '"apart_ms".*"ratio"' "$logs/fused.jsonl") without=$(grep -c '"supported": false' "$logs/fused.jsonl")
    said="$compared comparisons, $without not supported"
    # One engine has all of the patterns, and cuDNN compiles it: that none is supported says nothing of them.
    [ "$compared" -gt 0 ] || [ "$without" -eq 0 ] ||
        said="$said: none to decide by (is the NVRTC of cuDNN's CUDA, libnvrtc.so, there?)"
    [ $code -ne 0 ] || [ "$compared" -gt 0 ] || code=1
    verdict $code "$said"
}

part_sweep() {
    bench=$(tool bench_step) worst=0 turns=4 asked=0
    [ -n "$bench" ] || { skip "bench_step was not built (cmake -S . -B build -DQV_BENCH=ON)"; return; }
    for precision in bf16 tf32 fp32 tuned; do
        batches=16,32,64,128,256 tuned=
        [ $precision = fp32 ] || batches=$batches,512,1024 # without tensor cores these two take over a minute
        [ $precision != tuned ] || precision=bf16 batches=64,256 tuned=--autotune # what cuDNN's heuristics lose
        # shellcheck disable=SC2086 # an option or none
        limited $turns "$bench" --device "$device" --precision $precision --batch $batches $tuned 2>>"$logs/sweep.log" |
            sed "s/^{/{\"precision\": \"$precision\", /" >>"$logs/sweep.jsonl"
        turns=$((turns - 1)) asked=$((asked + $(count $batches)))
    done
    [ "$(wc -l <"$logs/sweep.jsonl")" -eq $asked ] || worst=1
    verdict $worst "$(wc -l <"$logs/sweep.jsonl") of $asked sizes"
}

# Words for a shell, or Python's shlex.
quoted() { for word; do printf "'%s' " "$(printf '%s' "$word" | sed "s/'/'\\\\''/g")"; done; }

# What is compared, the most important first: PRECISION PEER'S_PRECISION BATCH CONTENDERS. Before the peer at its best,
# compile-graph, stands none but eager, which takes seconds.
comparisons='bf16 bf16-stored 64 eager,compile-graph
bf16 bf16-stored 256 eager,compile-graph
tf32 tf32 64 eager,compile-graph
bf16 bf16 64 eager,compile-graph
fp32 fp32 64 eager,compile-graph
bf16 bf16-stored 64 graph-channels-last,compile'

# compare ROUND PRECISION PEER'S_PRECISION BATCH CONTENDERS: Quaver first. It may take half of the part's time where
# that is two minutes, else all that is left. Who has no timing in the first round is added to $lacking.
compare() {
    part_left=$((part_until - $(date +%s)))
    limited $((part_left < 240 ? 1 : 2)) "$python" "$peers/torch_step.py" --device cuda --precision "$3" --batch "$4" --rounds 1 \
        --contenders "$5" --beside "$(quoted "$bench" --device "$device" --precision "$2" --batch "$4")" \
        >"$logs/step-compared.jsonl" 2>>"$logs/step.log"
    code=$?
    sed "s/^{\"round\": 0,/{\"round\": $1,/; s/^{\"bench\"/{\"round\": $1, \"precision\": \"$2\", \"bench\"/" \
        "$logs/step-compared.jsonl" >>"$logs/step.jsonl"
    [ "$1" -eq 1 ] || return
    for contender in quaver $(echo "$5" | tr , ' '); do
        grep -q "\"contender\": \"$contender\".*median_ms" "$logs/step-compared.jsonl" && continue
        lacking="$lacking${lacking:+, }$contender $3 $4" missing=$((missing + 1))
        [ $code -ne 0 ] || code=1 # it ended badly, and torch_step.py went on
        [ "$worst" -ne 0 ] || worst=$code
    done
}

part_step() {
    bench=$(tool bench_step)
    [ -n "$bench" ] || { skip "bench_step was not built (cmake -S . -B build -DQV_BENCH=ON)"; return; }
    [ -n "$torch" ] || { skip "no PyTorch in ${python:-python3} (--python names another one)"; return; }
    limited 2 "$python" -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2>>"$logs/step.log" || {
        skip "PyTorch $torch finds no GPU"
        return
    }
    TORCHINDUCTOR_CACHE_DIR=$work/inductor
    export TORCHINDUCTOR_CACHE_DIR
    worst=0 lacking='' missing=0 asked=0 longest=0
    # All of them, then again with what the compiler has kept, three times at most; each is begun only where there is
    # as much time as the longest before it took, and a quarter more.
    for round in 1 2 3; do
        while read -r precision peers_precision batch contenders; do
            begin=$(date +%s)
            [ $((part_until - begin)) -gt $((longest * 5 / 4)) ] || continue
            compare $round "$precision" "$peers_precision" "$batch" "$contenders" </dev/null
            [ $round -gt 1 ] || asked=$((asked + 1))
            took=$(($(date +%s) - begin))
            [ $took -le $longest ] || longest=$took
        done <<END
$comparisons
END
    done
    grep -q '"beside".*"failed"' "$logs/step.jsonl" && [ $worst -eq 0 ] && worst=1
    every=$(echo "$comparisons" | wc -l)
    said="$(grep -c median_ms "$logs/step.jsonl") timings in $asked of $every comparisons, $missing contenders missing"
    verdict $worst "$said${lacking:+: $lacking}"
}

part_replicas() {
    bench=$(tool bench_replicas) batches=16,64 trainings=1,4,16
    [ -n "$bench" ] || { skip "bench_replicas was not built (cmake -S . -B build -DQV_BENCH=ON)"; return; }
    limited 1 "$bench" --device "$device" --precision bf16 --rounds 3 --batch $batches --replicas $trainings \
        >"$logs/replicas.jsonl" 2>"$logs/replicas.log"
    verdict $? "$(wc -l <"$logs/replicas.jsonl") of $(($(count $batches) * $(count $trainings))) sizes"
}

part_train() {
    corpus=${QV_CORPORA:-}/emodb worst=0 said='' turns=2
    [ -n "${QV_CORPORA:-}" ] || { skip "no corpus: QV_CORPORA names the folder that holds emodb"; return; }
    [ -d "$corpus" ] || { skip "no corpus at $corpus"; return; }
    "$quaver" corpus emodb "$corpus" --labels anger,happiness,neutral,sadness --out "$logs/emodb.csv" >"$logs/train.log" 2>&1 || {
        verdict 1 "no manifest"
        return
    }
    for precision in fp32 bf16; do
        begin=$(date +%s)
        limited $turns "$quaver" train --config "$root/data/configs/speech.ini" --manifest "$logs/emodb.csv" \
            --folds "$root/data/folds/emodb.txt" --out "$work/train-$precision" --force --device "$device" \
            --run.precision=$precision -q >"$logs/train-$precision.log" 2>&1
        code=$? turns=$((turns - 1))
        ua=$(sed -n 's/^UA *\([0-9.]*\).*/\1/p' "$logs/train-$precision.log" | head -n 1)
        [ $code -eq 0 ] || worst=$code
        said="$said${said:+, }$precision UA ${ua:-none}"
        printf '{"part": "train", "precision": "%s", "ua": %s, "seconds": %d, "exit_code": %d}\n' $precision "${ua:-null}" \
            $(($(date +%s) - begin)) $code >>"$logs/train.jsonl"
    done
    cat "$logs"/train-*.log >>"$logs/train.log"
    verdict $worst "$said"
}

# --- the record ---

# json_part NAME STATUS SECONDS BEFORE AFTER WHY
json_part() {
    printf '  {"name": "%s", "status": "%s", "seconds": %d, "before": %s, "after": %s, "note": "%s", "figures": [' \
        "$1" "$2" "$3" "$4" "$5" "$(quote "$6")"
    # A line a figure, or one object over many lines (the selftest's).
    if [ -s "$logs/$1.jsonl" ]; then
        awk 'NR > 1 && /^\{/ { printf "," } { printf "\n   %s", $0 }' "$logs/$1.jsonl"
    fi
    printf ']}'
}

tab=$(printf '\t')

# write_record COMPLETE: gpu.json anew, of the parts so far.
write_record() {
    {
        printf '{\n "program": "gpu_check", "date": "%s", "commit": "%s", "version": "%s",\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" \
            "$(quote "$commit")" "$(quote "$version")"
        printf ' "device": "%s", "driver": "%s", "memory": "%s", "compute_capability": "%s", "toolkit": "%s", "torch": "%s",\n' \
            "$(quote "$gpu")" "$(quote "$driver")" "$(quote "$memory")" "$(quote "$capability")" "$(quote "$toolkit")" "$(quote "$torch")"
        printf ' "complete": %s, "seconds": %d, "doctor": "%s",\n "parts": [\n' "$1" $(($(date +%s) - started)) "$(quote "$(cat "$logs/doctor.log")")"
        comma=
        while IFS=$tab read -r name status took earlier later why; do
            printf '%s' "$comma"
            json_part "$name" "$status" "$took" "$earlier" "$later" "$why"
            comma=",
"
        done <"$work/parts"
        printf '\n ]\n}\n'
    } >"$out/gpu.json.tmp" && mv "$out/gpu.json.tmp" "$out/gpu.json"
}

# --- the table ---

print_table() {
    echo "${gpu:-no GPU}${driver:+, driver $driver}${toolkit:+, CUDA toolkit $toolkit}${torch:+, PyTorch $torch}; Quaver at commit $commit"
    echo
    printf '%-10s %-8s %5s  %s\n' part status s note
    while IFS=$tab read -r name status took _ _ why; do printf '%-10s %-8s %5s  %s\n' "$name" "$status" "$took" "$why"; done <"$work/parts"
    for name in sweep step replicas fused; do
        [ -s "$logs/$name.jsonl" ] || continue
        echo
        awk -v part=$name '
            function value(name) { # of a flat JSON line
                if (!match($0, "\"" name "\": *[^,}]*")) return ""
                text = substr($0, RSTART, RLENGTH)
                gsub(/^[^:]*: *|"/, "", text)
                return text
            }
            BEGIN {
                replicas = "%-10s %6s %9s %14s %18s %6s\n"
                fused = "%-10s %-10s %-18s %9s %10s %10s %10s %10s\n"
                steps = "%-10s %-10s %-22s %6s %10s %12s\n"
                if (part == "replicas") printf replicas, part, "batch", "trainings", "samples/s", "one after other", "ratio"
                else if (part == "fused") printf fused, part, "preset", "pattern", "supported", "apart ms", "fused ms", "again ms", "saved ms"
                else printf steps, part, "precision", "contender", "batch", "median ms", "samples/s"
            }
            part == "replicas" {
                printf replicas, "", value("batch"), value("replicas"), value("samples_per_s"),
                    value("one_after_other_samples_per_s"), value("ratio")
            }
            part == "fused" && /fused_step/ {
                printf fused, "", value("preset"), value("pattern"), value("supported"), value("apart_ms"), value("fused_ms"),
                    value("again_ms"), value("saved_ms")
            }
            part == "sweep" || part == "step" {
                failed = value("failed")
                printf steps, "", value("precision"), value("contender"), value("batch"),
                    failed == "" ? value("median_ms") : "failed " failed, value("samples_per_s")
            }' "$logs/$name.jsonl"
    done
}

# --- what is left in OUT ---

# keep COMPLETE: everything so far.
keep() {
    write_record "$1"
    print_table >"$out/summary.txt.tmp" && mv "$out/summary.txt.tmp" "$out/summary.txt"
    tar -C "$work" -czf "$out/logs.tar.gz.tmp" logs && mv "$out/logs.tar.gz.tmp" "$out/logs.tar.gz"
}

# shellcheck disable=SC2046 # a list
set -- $(echo "$parts" | tr , ' ')
keep false
while [ $# -gt 0 ]; do
    part=$1 part_started=$(date +%s)
    part_until=$((part_started + $(limit_of "$(left)" "$@")))
    shift
    ask_state
    before=$state
    if [ "$part" != cpu ] && [ -z "$gpu" ]; then
        skip "$why_no_gpu"
    elif [ "$(left)" -le 0 ]; then
        skip "the $seconds s are over"
    else
        "part_$part"
    fi
    keep false
done
keep true

echo
cat "$out/summary.txt"
echo
echo "every figure: $out/gpu.json; what the parts printed: $out/logs.tar.gz"
! cut -f 2 "$work/parts" | grep -q failed
