#!/bin/sh
# Everything that there is to know about this program on this machine's GPU, in about nine minutes:
#
#   gpu_check.sh [--parts LIST] [--seconds N] [--device D] [--python PYTHON] OUT
#
#   cpu        quaver selftest on the processor: the control
#   selftest   quaver selftest on the GPU, in fp32, tf32 and bf16
#   sanitizer  compute-sanitizer memcheck, racecheck, initcheck and synccheck on the kernels' tests
#   kernels    each kernel's share of the copy bandwidth measured in the same run
#   profile    what each kind of op takes of a training step, in bf16 and fp32
#   sweep      training steps, batches of 16 to 1024, in each precision
#   step       training steps against PyTorch's, in turn (bench/peers/torch_step.py)
#   replicas   several trainings side by side
#   train      the five EMO-DB folds in fp32 and bf16, where QV_CORPORA names a folder with emodb in it
#
# It runs from a checkout that was built (QV_BUILD, default build/) or from the bundle of gpu_bundle.sh. A part that
# cannot run is skipped with the reason; one that fails or takes too long does not stop the others. Prints one table;
# OUT/gpu.json has device, versions, commit and every figure, OUT/PART.log what each part printed. Exit code 1 if a part
# failed, 0 if all that could run passed.
set -u

usage() { echo "usage: gpu_check.sh [--parts cpu,selftest,...] [--seconds N] [--device cuda] [--python PYTHON] OUT" >&2; exit 2; }

all_parts=cpu,selftest,sanitizer,kernels,profile,sweep,step,replicas,train
parts=$all_parts seconds=540 device=cuda python=${PYTHON:-} out=
while [ $# -gt 0 ]; do
    case $1 in
    --parts | --seconds | --device | --python)
        [ $# -ge 2 ] || usage
        case $1 in --parts) parts=$2 ;; --seconds) seconds=$2 ;; --device) device=$2 ;; --python) python=$2 ;; esac
        shift 2
        ;;
    -*) usage ;;
    *) [ -z "$out" ] || usage; out=$1; shift ;;
    esac
done
[ -n "$out" ] || usage
case $seconds in '' | *[!0-9]*) usage ;; esac
for p in $(echo "$parts" | tr , ' '); do
    case ,$all_parts, in *,"$p",*) ;; *) echo "gpu_check.sh: there is no part $p; parts are $all_parts" >&2; exit 2 ;; esac
done

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

# limited SECONDS COMMAND...: stopped after so many seconds, or when no time is left at all; 124: it was.
limited() {
    limit=$1 rest=$(left)
    shift
    [ "$rest" -gt 0 ] || return 124
    [ "$limit" -lt "$rest" ] || limit=$rest
    timeout -k 5 "$limit" "$@"
}

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
part=start part_started=$started
[ -n "$quaver" ] || { echo "gpu_check.sh: no quaver in $build: build first, or name the build folder in QV_BUILD" >&2; exit 1; }
export PYTHON="$python" # whose libraries the bundle may use
"$quaver" doctor >"$out/doctor.log" 2>&1 || { echo "gpu_check.sh: quaver does not start:" >&2; cat "$out/doctor.log" >&2; exit 1; }

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
    line=$(sed -n 's/^  0: //p' "$out/doctor.log" | head -n 1)
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
[ -z "$gpu" ] && why_no_gpu="no device: $(sed -n 's/^  none can be used: //p' "$out/doctor.log" | head -n 1)"

# --- parts ---

part_cpu() {
    limited 120 "$quaver" selftest --device cpu --json -q >"$out/cpu.jsonl" 2>"$out/cpu.log"
    verdict $? "$(field failed <"$out/cpu.jsonl" | head -n 1) of $(field cases <"$out/cpu.jsonl" | head -n 1) cases outside"
}

part_selftest() {
    worst=0 said=
    for precision in fp32 tf32 bf16; do
        limited 60 "$quaver" selftest --device "$device" --precision $precision --json -q >"$out/selftest-$precision.jsonl" 2>>"$out/selftest.log"
        code=$?
        [ $code -eq 0 ] || worst=$code
        n=$(field cases <"$out/selftest-$precision.jsonl" | head -n 1)
        said="$said${said:+, }$precision: $([ -n "$n" ] && echo "$(field failed <"$out/selftest-$precision.jsonl" | head -n 1) of $n outside" || echo "no result")"
    done
    cat "$out"/selftest-*.jsonl >"$out/selftest.jsonl"
    verdict $worst "$said"
}

part_sanitizer() {
    tests=$(tool test_kernels_gpu) sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
    [ -n "$tests" ] || { skip "test_kernels_gpu was not built"; return; }
    [ -n "$sanitizer" ] || { skip "no compute-sanitizer: it comes with the CUDA toolkit"; return; }
    worst=0 said=
    for check in memcheck racecheck initcheck synccheck; do
        limited 60 "$sanitizer" --tool $check --target-processes all --error-exitcode 99 "$tests" --small >"$out/sanitizer-$check.log" 2>&1
        code=$?
        [ $code -eq 0 ] || worst=$code
        said="$said${said:+, }$check $(case $code in 0) echo clean ;; 99) echo "FOUND ERRORS" ;; 124 | 137) echo "time limit" ;; *) echo "exit code $code" ;; esac)"
        printf '{"part": "sanitizer", "tool": "%s", "exit_code": %d}\n' $check $code >>"$out/sanitizer.jsonl"
    done
    cat "$out"/sanitizer-*.log >"$out/sanitizer.log"
    verdict $worst "$said"
}

# The table of bench_step --profile, a line "conv   1.234 ms   5.6 %" an op, as JSON.
part_profile() {
    bench=$(tool bench_step) worst=0
    [ -n "$bench" ] || { skip "bench_step was not built"; return; }
    for precision in bf16 fp32; do
        limited 40 "$bench" --device "$device" --precision $precision --profile >"$out/profile-$precision.log" 2>&1
        code=$?
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
    limited 120 "$bench" >"$out/kernels.log" 2>&1
    code=$?
    grep '^{' "$out/kernels.log" >"$out/kernels.jsonl"
    verdict $code "$(wc -l <"$out/kernels.jsonl") lines"
}

part_sweep() {
    bench=$(tool bench_step) worst=0
    [ -n "$bench" ] || { skip "bench_step was not built"; return; }
    for precision in bf16 tf32 fp32; do
        limited 40 "$bench" --device "$device" --precision $precision --batch 16,32,64,128,256,512,1024 2>>"$out/sweep.log" |
            sed "s/^{/{\"precision\": \"$precision\", /" >>"$out/sweep.jsonl"
    done
    [ "$(wc -l <"$out/sweep.jsonl")" -eq 21 ] || worst=1
    verdict $worst "$(wc -l <"$out/sweep.jsonl") of 21 sizes"
}

# peers PRECISION PEERS_PRECISION BATCH ROUNDS CONTENDERS: Quaver first in each round.
peers() {
    limited 130 "$python" "$peers/torch_step.py" --device cuda --precision "$2" --batch "$3" --rounds "$4" --contenders "$5" \
        --beside "$bench --device $device --precision $1 --batch $3" 2>>"$out/step.log" |
        sed "s/^{\"bench\"/{\"precision\": \"$1\", \"bench\"/" >>"$out/step.jsonl"
}

part_step() {
    bench=$(tool bench_step)
    [ -n "$bench" ] || { skip "bench_step was not built"; return; }
    [ -n "$torch" ] || { skip "no PyTorch in ${python:-python3} (--python names another one)"; return; }
    limited 60 "$python" -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2>>"$out/step.log" || {
        skip "PyTorch $torch finds no GPU"
        return
    }
    TORCHINDUCTOR_CACHE_DIR=$out/inductor
    export TORCHINDUCTOR_CACHE_DIR
    peers bf16 bf16-stored 64 2 eager,graph-channels-last,compile,compile-graph
    peers tf32 tf32 64 1 eager,compile-graph
    peers bf16 bf16-stored 256 1 eager,compile-graph
    peers bf16 bf16 64 1 eager,compile-graph
    peers fp32 fp32 64 1 eager,compile-graph
    rm -rf "$out/inductor"
    grep -q '"contender": "quaver".*median_ms' "$out/step.jsonl" && ! grep -q '"beside".*"failed"' "$out/step.jsonl"
    verdict $? "$(grep -c median_ms "$out/step.jsonl") timings, $(grep -c '"failed"' "$out/step.jsonl") contenders failed"
}

part_replicas() {
    bench=$(tool bench_replicas)
    [ -n "$bench" ] || { skip "bench_replicas was not built"; return; }
    limited 60 "$bench" --device "$device" --precision bf16 --rounds 3 >"$out/replicas.jsonl" 2>"$out/replicas.log"
    verdict $? "$(wc -l <"$out/replicas.jsonl") of 15 sizes"
}

part_train() {
    corpus=${QV_CORPORA:-}/emodb worst=0 said=
    [ -n "${QV_CORPORA:-}" ] || { skip "no corpus: QV_CORPORA names the folder that holds emodb"; return; }
    [ -d "$corpus" ] || { skip "no corpus at $corpus"; return; }
    "$quaver" corpus emodb "$corpus" --labels anger,happiness,neutral,sadness --out "$out/emodb.csv" >"$out/train.log" 2>&1 || {
        verdict 1 "no manifest"
        return
    }
    for precision in fp32 bf16; do
        begin=$(date +%s)
        limited 120 "$quaver" train --config "$root/data/configs/speech.ini" --manifest "$out/emodb.csv" \
            --folds "$root/data/folds/emodb.txt" --out "$out/train-$precision" --force --device "$device" \
            --run.precision=$precision -q >"$out/train-$precision.log" 2>&1
        code=$?
        ua=$(sed -n 's/^UA *\([0-9.]*\).*/\1/p' "$out/train-$precision.log" | head -n 1)
        [ $code -eq 0 ] || worst=$code
        said="$said${said:+, }$precision UA ${ua:-none}"
        printf '{"part": "train", "precision": "%s", "ua": %s, "seconds": %d, "exit_code": %d}\n' $precision "${ua:-null}" \
            $(($(date +%s) - begin)) $code >>"$out/train.jsonl"
    done
    cat "$out"/train-*.log >>"$out/train.log"
    verdict $worst "$said"
}

for part in $(echo "$parts" | tr , ' '); do
    part_started=$(date +%s)
    rm -f "$out/$part.jsonl" "$out/$part.log"
    if [ "$part" != cpu ] && [ -z "$gpu" ]; then
        skip "$why_no_gpu"
    elif [ "$(left)" -le 0 ]; then
        skip "the $seconds s are over"
    else
        "part_$part"
    fi
done

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
{
    printf '{\n "program": "gpu_check", "date": "%s", "commit": "%s", "version": "%s",\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" \
        "$(quote "$commit")" "$(quote "$("$quaver" --version)")"
    printf ' "device": "%s", "driver": "%s", "memory": "%s", "compute_capability": "%s", "toolkit": "%s", "torch": "%s",\n' \
        "$(quote "$gpu")" "$(quote "$driver")" "$(quote "$memory")" "$(quote "$capability")" "$(quote "$toolkit")" "$(quote "$torch")"
    printf ' "seconds": %d, "doctor": "%s",\n "parts": [\n' $(($(date +%s) - started)) "$(quote "$(cat "$out/doctor.log")")"
    comma=
    while IFS=$tab read -r name status took why; do
        printf '%s' "$comma"
        json_part "$name" "$status" "$took" "$why"
        comma=",
"
    done <"$out/parts"
    printf '\n ]\n}\n'
} >"$out/gpu.json.tmp" && mv "$out/gpu.json.tmp" "$out/gpu.json"

# --- the table ---

echo
echo "${gpu:-no GPU}${driver:+, driver $driver}${toolkit:+, CUDA toolkit $toolkit}${torch:+, PyTorch $torch}; Quaver at commit $commit"
echo
printf '%-10s %-8s %5s  %s\n' part status s note
while IFS=$tab read -r name status took why; do printf '%-10s %-8s %5s  %s\n' "$name" "$status" "$took" "$why"; done <"$out/parts"
for name in sweep step replicas; do
    [ -s "$out/$name.jsonl" ] || continue
    echo
    case $name in
    replicas) printf '%-10s %6s %9s %14s %18s %6s\n' replicas batch trainings 'samples/s' 'one after other' ratio ;;
    *) printf '%-10s %-10s %-22s %6s %10s %12s\n' "$name" precision contender batch 'median ms' 'samples/s' ;;
    esac
    while read -r line; do
        value() { printf '%s' "$line" | field "$1"; }
        if [ $name = replicas ]; then
            printf '%-10s %6s %9s %14s %18s %6s\n' '' "$(value batch)" "$(value replicas)" "$(value samples_per_s)" \
                "$(value one_after_other_samples_per_s)" "$(value ratio)"
        else
            printf '%-10s %-10s %-22s %6s %10s %12s\n' '' "$(value precision)" "$(value contender)" "$(value batch)" \
                "$(value median_ms)$(value failed | sed 's/^/failed /')" "$(value samples_per_s)"
        fi
    done <"$out/$name.jsonl"
done
echo
echo "everything: $out/gpu.json"
! cut -f 2 "$out/parts" | grep -q failed
