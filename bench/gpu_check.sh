#!/bin/sh
# Everything that there is to know about this program on this machine's GPU, in at most nine minutes:
#
#   gpu_check.sh [--parts LIST] [--seconds N] [--device D] [--python PYTHON] OUT
#   gpu_check.sh [--parts LIST] [--seconds N] --limits      what each part may take, and nothing else
#
#   cpu        quaver selftest on the processor: the control
#   selftest   quaver selftest on the GPU, in fp32, tf32 and bf16
#   kernels    each kernel's share of the copy bandwidth measured in the same run
#   fused      cuDNN's fused patterns against separate ops, in turn (bench/bench_fused.c)
#   profile    what each kind of op takes of a training step, in bf16 and fp32
#   sweep      training steps, batches of 16 to 1024 (fp32: to 256), in each precision
#   replicas   several trainings side by side
#   step       training steps against PyTorch's, in turn (bench/peers/torch_step.py)
#   train      the five EMO-DB folds in fp32 and bf16, where QV_CORPORA names a folder with emodb in it
#   sanitizer  compute-sanitizer memcheck, racecheck, initcheck and synccheck on some small cases of the kernels' tests
#
# It runs from a checkout that was built (QV_BUILD, default build/) or from the bundle of gpu_bundle.sh. All parts
# together take --seconds at most (540, since GPUs are often lent for ten minutes a command): each has a share of them,
# and what a part leaves goes to those after it. A part that cannot run is skipped with the reason; one that fails or
# takes too long does not stop the others. Prints one table; OUT/gpu.json has device, versions, commit and every figure,
# also of a run that was stopped after some parts ("complete": false), OUT/PART.log what each part printed. Exit code 1
# if a part failed, 0 if all that could run passed.
set -u

usage() {
    echo "usage: gpu_check.sh [--parts cpu,selftest,...] [--seconds N] [--device cuda] [--python PYTHON] OUT" >&2
    echo "       gpu_check.sh [--parts cpu,selftest,...] [--seconds N] --limits" >&2
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
started=$(date +%s)
: >"$out/parts"

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

# note PART STATUS WHY
note() {
    printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$(($(date +%s) - part_started))" "$3" >>"$out/parts"
    echo "$1: $2${3:+: $3}" >&2
}

skip() { note "$part" skipped "$1"; }

# verdict CODE [WHAT]: of a command of a part with one command.
verdict() {
    case $1 in
    0) note "$part" passed "${2:-}" ;;
    124 | 137) note "$part" failed "time limit${2:+, $2}" ;;
    *) note "$part" failed "exit code $1${2:+, $2}; $part.log ends: $(tail -n 1 "$out/$part.log" 2>/dev/null | cut -c 1-160)" ;;
    esac
}

# A number or text of a flat JSON line.
field() { sed -n "s/.*\"$1\": *\"\{0,1\}\([^,\"}]*\).*/\1/p"; }

# --- what is here ---

[ -n "$python" ] || for p in python3 python; do
    command -v $p >/dev/null && { python=$p; break; }
done
quaver=$(tool quaver)
commit=$(cat "$root/COMMIT" 2>/dev/null || git -C "$root" rev-parse --short HEAD 2>/dev/null || echo unknown)
part_started=$started
[ -n "$quaver" ] || { echo "gpu_check.sh: no quaver in $build: build first, or name the build folder in QV_BUILD" >&2; exit 1; }
export PYTHON="$python" # whose libraries the bundle may use
version=$(timeout -k 5 60 "$quaver" --version 2>"$out/doctor.log") || {
    echo "gpu_check.sh: quaver does not start:" >&2
    cat "$out/doctor.log" >&2
    exit 1
}
# It starts, so what doctor stumbles over is no reason to try nothing else: the parts say what works.
part=doctor
timeout -k 5 120 "$quaver" doctor >"$out/doctor.log" 2>&1
doctor=$?
[ $doctor -eq 0 ] || verdict $doctor

# The GPU's name: of nvidia-smi, which knows most; else of the driver, asked by the program itself.
gpu='' driver='' memory='' capability=''
if command -v nvidia-smi >/dev/null; then
    line=$(timeout 20 nvidia-smi --query-gpu=name,driver_version,memory.total,compute_cap --format=csv,noheader 2>/dev/null | head -n 1)
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
    line=$(sed -n 's/^  0  *//p' "$out/doctor.log" | head -n 1)
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
    why=$(sed -n 's/^  none can be used  *//p' "$out/doctor.log" | head -n 1)
    why_no_gpu="no device: ${why:-doctor found none}"
fi

# --- parts ---

part_cpu() {
    limited 1 "$quaver" selftest --device cpu --json -q >"$out/cpu.jsonl" 2>"$out/cpu.log"
    verdict $? "$(field failed <"$out/cpu.jsonl" | head -n 1) of $(field cases <"$out/cpu.jsonl" | head -n 1) cases outside"
}

part_selftest() {
    worst=0 said='' turns=3
    for precision in fp32 tf32 bf16; do
        limited $turns "$quaver" selftest --device "$device" --precision $precision --json -q >"$out/selftest-$precision.jsonl" 2>>"$out/selftest.log"
        code=$? turns=$((turns - 1))
        [ $code -eq 0 ] || worst=$code
        n=$(field cases <"$out/selftest-$precision.jsonl" | head -n 1)
        said="$said${said:+, }$precision: $([ -n "$n" ] && echo "$(field failed <"$out/selftest-$precision.jsonl" | head -n 1) of $n outside" || echo "no result")"
    done
    cat "$out"/selftest-*.jsonl >"$out/selftest.jsonl"
    verdict $worst "$said"
}

# The ops whose kernels have shared memory, barriers, shuffles or tickets: in others there are no races to look for.
shared_ops=conv,conv_grad_x,conv_grad_w,bn_stats,bn_measure,bn_grad_sums,block_end,pool,loss,unit,unit_grad,margin,center,clip,gather

part_sanitizer() {
    tests=$(tool test_kernels_gpu) sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
    [ -n "$tests" ] || { skip "test_kernels_gpu was not built"; return; }
    [ -n "$sanitizer" ] || { skip "no compute-sanitizer: it comes with the CUDA toolkit"; return; }
    worst=0 said='' turns=4
    for check in memcheck racecheck initcheck synccheck; do
        case $check in racecheck | synccheck) export QV_OPS=$shared_ops ;; *) unset QV_OPS ;; esac
        # Where an allocation ends with the operand, memcheck sees what reaches past it. Each 19th of some 5,500 cases,
        # which would not end in the time of this part; a prime, since options of the cases come in cycles of a few.
        limited $turns "$sanitizer" --tool $check --target-processes all --error-exitcode 99 \
            "$tests" --small --every 19 --only in_tight_memory >"$out/sanitizer-$check.log" 2>&1
        code=$? turns=$((turns - 1))
        [ $code -eq 0 ] || worst=$code
        said="$said${said:+, }$check $(case $code in 0) echo clean ;; 99) echo "FOUND ERRORS" ;; 124 | 137) echo "time limit" ;; *) echo "exit code $code" ;; esac)"
        printf '{"part": "sanitizer", "tool": "%s", "exit_code": %d}\n' $check $code >>"$out/sanitizer.jsonl"
    done
    unset QV_OPS
    cat "$out"/sanitizer-*.log >"$out/sanitizer.log"
    verdict $worst "$said"
}

# The table of bench_step --profile, a line "conv   1.234 ms   5.6 %" an op, as JSON.
part_profile() {
    bench=$(tool bench_step) worst=0 turns=2
    [ -n "$bench" ] || { skip "bench_step was not built"; return; }
    for precision in bf16 fp32; do
        limited $turns "$bench" --device "$device" --precision $precision --profile >"$out/profile-$precision.log" 2>&1
        code=$? turns=$((turns - 1))
        [ $code -eq 0 ] || worst=$code
        sed -n "s/^\([a-z_0-9]*\)  *\([0-9.]*\) ms  *\([0-9.]*\) %\$/{\"op\": \"\1\", \"precision\": \"$precision\", \"ms\": \2, \"percent\": \3}/p" \
            "$out/profile-$precision.log" >>"$out/profile.jsonl"
    done
    cat "$out"/profile-*.log >"$out/profile.log"
    [ $worst -ne 0 ] || [ -s "$out/profile.jsonl" ] || worst=1
    verdict $worst "$(wc -l <"$out/profile.jsonl") lines"
}

part_kernels() {
    bench=$(tool bench_kernels)
    [ -n "$bench" ] || { skip "bench_kernels was not built"; return; }
    limited 1 "$bench" --seconds 0.15 >"$out/kernels.log" 2>&1 # 240 cases
    code=$?
    grep '^{' "$out/kernels.log" >"$out/kernels.jsonl"
    verdict $code "$(wc -l <"$out/kernels.jsonl") lines"
}

part_fused() {
    bench=$(tool bench_fused)
    [ -n "$bench" ] || { skip "bench_fused was not built"; return; }
    limited 1 "$bench" >"$out/fused.log" 2>&1
    code=$?
    grep '^{' "$out/fused.log" >"$out/fused.jsonl"
    verdict $code "$(grep -c '"apart_ms".*"ratio"' "$out/fused.jsonl") comparisons, $(grep -c '"supported": false' "$out/fused.jsonl") not supported"
}

part_sweep() {
    bench=$(tool bench_step) worst=0 turns=3 asked=0
    [ -n "$bench" ] || { skip "bench_step was not built"; return; }
    for precision in bf16 tf32 fp32; do
        batches=16,32,64,128,256
        [ $precision = fp32 ] || batches=$batches,512,1024 # without tensor cores these two take over a minute
        limited $turns "$bench" --device "$device" --precision $precision --batch $batches 2>>"$out/sweep.log" |
            sed "s/^{/{\"precision\": \"$precision\", /" >>"$out/sweep.jsonl"
        turns=$((turns - 1)) asked=$((asked + $(count $batches)))
    done
    [ "$(wc -l <"$out/sweep.jsonl")" -eq $asked ] || worst=1
    verdict $worst "$(wc -l <"$out/sweep.jsonl") of $asked sizes"
}

# peers N PRECISION PEERS_PRECISION BATCH ROUNDS CONTENDERS: Quaver first in each round; takes an nth of what is left.
peers() {
    limited "$1" "$python" "$peers/torch_step.py" --device cuda --precision "$3" --batch "$4" --rounds "$5" --contenders "$6" \
        --beside "$bench --device $device --precision $2 --batch $4" 2>>"$out/step.log" |
        sed "s/^{\"bench\"/{\"precision\": \"$2\", \"bench\"/" >>"$out/step.jsonl"
}

part_step() {
    bench=$(tool bench_step)
    [ -n "$bench" ] || { skip "bench_step was not built"; return; }
    [ -n "$torch" ] || { skip "no PyTorch in ${python:-python3} (--python names another one)"; return; }
    limited 2 "$python" -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2>>"$out/step.log" || {
        skip "PyTorch $torch finds no GPU"
        return
    }
    TORCHINDUCTOR_CACHE_DIR=$out/inductor
    export TORCHINDUCTOR_CACHE_DIR
    rounds=$(((part_until - $(date +%s)) / 100)) # three where the part runs alone
    [ $rounds -ge 1 ] || rounds=1
    [ $rounds -le 3 ] || rounds=3
    peers 2 bf16 bf16-stored 64 $rounds eager,graph-channels-last,compile,compile-graph
    peers 3 bf16 bf16-stored 256 $rounds eager,compile-graph
    peers 2 tf32 tf32 64 1 eager,compile-graph
    peers 2 bf16 bf16 64 1 eager,compile-graph
    peers 1 fp32 fp32 64 1 eager,compile-graph
    rm -rf "$out/inductor"
    grep -q '"contender": "quaver".*median_ms' "$out/step.jsonl" && ! grep -q '"beside".*"failed"' "$out/step.jsonl"
    verdict $? "$(grep -c median_ms "$out/step.jsonl") timings, $(grep -c '"failed"' "$out/step.jsonl") contenders failed"
}

part_replicas() {
    bench=$(tool bench_replicas) batches=16,64 trainings=1,4,16
    [ -n "$bench" ] || { skip "bench_replicas was not built"; return; }
    limited 1 "$bench" --device "$device" --precision bf16 --rounds 3 --batch $batches --replicas $trainings \
        >"$out/replicas.jsonl" 2>"$out/replicas.log"
    verdict $? "$(wc -l <"$out/replicas.jsonl") of $(($(count $batches) * $(count $trainings))) sizes"
}

part_train() {
    corpus=${QV_CORPORA:-}/emodb worst=0 said='' turns=2
    [ -n "${QV_CORPORA:-}" ] || { skip "no corpus: QV_CORPORA names the folder that holds emodb"; return; }
    [ -d "$corpus" ] || { skip "no corpus at $corpus"; return; }
    "$quaver" corpus emodb "$corpus" --labels anger,happiness,neutral,sadness --out "$out/emodb.csv" >"$out/train.log" 2>&1 || {
        verdict 1 "no manifest"
        return
    }
    for precision in fp32 bf16; do
        begin=$(date +%s)
        limited $turns "$quaver" train --config "$root/data/configs/speech.ini" --manifest "$out/emodb.csv" \
            --folds "$root/data/folds/emodb.txt" --out "$out/train-$precision" --force --device "$device" \
            --run.precision=$precision -q >"$out/train-$precision.log" 2>&1
        code=$? turns=$((turns - 1))
        ua=$(sed -n 's/^UA *\([0-9.]*\).*/\1/p' "$out/train-$precision.log" | head -n 1)
        [ $code -eq 0 ] || worst=$code
        said="$said${said:+, }$precision UA ${ua:-none}"
        printf '{"part": "train", "precision": "%s", "ua": %s, "seconds": %d, "exit_code": %d}\n' $precision "${ua:-null}" \
            $(($(date +%s) - begin)) $code >>"$out/train.jsonl"
    done
    cat "$out"/train-*.log >>"$out/train.log"
    verdict $worst "$said"
}

# --- the record ---

json_part() {
    printf '  {"name": "%s", "status": "%s", "seconds": %d, "note": "%s", "figures": [' "$1" "$2" "$3" "$(quote "$4")"
    # A line a figure, or one object over many lines (the selftest's).
    if [ -s "$out/$1.jsonl" ]; then
        awk 'NR > 1 && /^\{/ { printf "," } { printf "\n   %s", $0 }' "$out/$1.jsonl"
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
        printf ' "complete": %s, "seconds": %d, "doctor": "%s",\n "parts": [\n' "$1" $(($(date +%s) - started)) "$(quote "$(cat "$out/doctor.log")")"
        comma=
        while IFS=$tab read -r name status took why; do
            printf '%s' "$comma"
            json_part "$name" "$status" "$took" "$why"
            comma=",
"
        done <"$out/parts"
        printf '\n ]\n}\n'
    } >"$out/gpu.json.tmp" && mv "$out/gpu.json.tmp" "$out/gpu.json"
}

# shellcheck disable=SC2046 # a list
set -- $(echo "$parts" | tr , ' ')
write_record false
while [ $# -gt 0 ]; do
    part=$1 part_started=$(date +%s)
    part_until=$((part_started + $(limit_of "$(left)" "$@")))
    shift
    rm -f "$out/$part.jsonl" "$out/$part.log"
    if [ "$part" != cpu ] && [ -z "$gpu" ]; then
        skip "$why_no_gpu"
    elif [ "$(left)" -le 0 ]; then
        skip "the $seconds s are over"
    else
        "part_$part"
    fi
    write_record false
done
write_record true

# --- the table ---

echo
echo "${gpu:-no GPU}${driver:+, driver $driver}${toolkit:+, CUDA toolkit $toolkit}${torch:+, PyTorch $torch}; Quaver at commit $commit"
echo
printf '%-10s %-8s %5s  %s\n' part status s note
while IFS=$tab read -r name status took why; do printf '%-10s %-8s %5s  %s\n' "$name" "$status" "$took" "$why"; done <"$out/parts"
for name in sweep step replicas fused; do
    [ -s "$out/$name.jsonl" ] || continue
    echo
    case $name in
    replicas) printf '%-10s %6s %9s %14s %18s %6s\n' replicas batch trainings 'samples/s' 'one after other' ratio ;;
    fused) printf '%-10s %-10s %-18s %9s %10s %10s %10s %10s\n' fused preset pattern supported 'apart ms' 'fused ms' 'again ms' 'saved ms' ;;
    *) printf '%-10s %-10s %-22s %6s %10s %12s\n' "$name" precision contender batch 'median ms' 'samples/s' ;;
    esac
    while read -r line; do
        value() { printf '%s' "$line" | field "$1"; }
        if [ $name = replicas ]; then
            printf '%-10s %6s %9s %14s %18s %6s\n' '' "$(value batch)" "$(value replicas)" "$(value samples_per_s)" \
                "$(value one_after_other_samples_per_s)" "$(value ratio)"
        elif [ $name = fused ]; then
            case $line in *fused_step*)
                printf '%-10s %-10s %-18s %9s %10s %10s %10s %10s\n' '' "$(value preset)" "$(value pattern)" "$(value supported)" \
                    "$(value apart_ms)" "$(value fused_ms)" "$(value again_ms)" "$(value saved_ms)"
                ;;
            esac
        else
            printf '%-10s %-10s %-22s %6s %10s %12s\n' '' "$(value precision)" "$(value contender)" "$(value batch)" \
                "$(value median_ms)$(value failed | sed 's/^/failed /')" "$(value samples_per_s)"
        fi
    done <"$out/$name.jsonl"
done
echo
echo "everything: $out/gpu.json"
! cut -f 2 "$out/parts" | grep -q failed
