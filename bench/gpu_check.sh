#!/bin/sh
# Everything that there is to know about this program on this machine's GPU, in at most nine minutes:
#
#   gpu_check.sh [--parts LIST] [--seconds N] [--device D] [--python PYTHON] OUT
#   gpu_check.sh [--parts LIST] [--seconds N] --limits      what each part may take, and nothing else
#   gpu_check.sh --help                                     this text
#
#   cpu        quaver selftest on the processor: the control
#   selftest   quaver selftest on the GPU, in fp32, tf32 and bf16
#   train      quaver train, --resume, eval, predict and study, on recordings that the program makes, against the
#              processor; and the five EMO-DB folds in fp32 and bf16, where QV_CORPORA names a folder with emodb in it
#   kernels    each kernel's share of the copy bandwidth measured in the same run
#   fused      cuDNN's fused patterns against separate ops, in turn (bench/bench_fused.c)
#   profile    what each kind of op and each convolution takes of a training step, of 256 samples in bf16 and fp32, and
#              of 64 in bf16
#   sweep      training steps, batches of 16 to 1024 (fp32: to 256), in each precision; in bf16 two sizes with run.autotune
#   replicas   several trainings side by side
#   study      what 400 trainings of a study take, several at a time, and in PyTorch one after the other
#   step       training steps against PyTorch's, in turn (bench/peers/torch_step.py); Quaver's also with run.autotune
#   sanitizer  compute-sanitizer memcheck, racecheck, initcheck and synccheck on some small cases of the kernels' tests
#
# It runs from a checkout that was built (QV_BUILD, default build/) or from the bundle of gpu_bundle.sh. All parts
# together take --seconds at most (540, for queues that give ten minutes): each has a share of them,
# and what a part leaves goes to those after it. A part that cannot run is skipped with the reason; one that fails, takes
# too long or ends without a result does not stop the others, and an op that hangs or leaves the GPU unusable does not
# stop the selftest of those after it. Exit code 1 if a part failed, or the program cannot use the GPU that is there; 0 if
# all that could run passed.
#
# PyTorch's compiler is slow where nothing is in its caches, and step measures what its time allows: PyTorch at its best
# first, then other sizes and precisions, then all of them again. Two commands give it time enough for each:
#
#   gpu_check.sh --parts cpu,selftest,train,kernels,fused,profile,sweep,replicas,sanitizer --seconds 420 OUT1
#   gpu_check.sh --parts study,step --seconds 280 OUT2
#
# --device cuda:1 or cuda:GPU-1b2c... (nvidia-smi -L) makes that GPU the only one that any of the programs sees. Numbers
# are nvidia-smi's, or where CUDA_VISIBLE_DEVICES is set, places in it; cuda is the first.
#
# Leaves three files, anew after each part, so that a run that is killed leaves what it has: OUT/gpu.json has device,
# versions, commit, every figure, and the GPU's clock, power and temperature before and after each part ("complete":
# false where it was stopped); OUT/summary.txt is the table that is printed, with what is asked for below it;
# OUT/logs.tar.gz what each part printed, in PART.log.
set -u
LC_ALL=C # awk reads and writes numbers with a point
export LC_ALL

usage() {
    echo "usage: gpu_check.sh [--parts cpu,selftest,...] [--seconds N] [--device cuda] [--python PYTHON] OUT" >&2
    echo "       gpu_check.sh [--parts cpu,selftest,...] [--seconds N] --limits | --help" >&2
    exit 2
}

all_parts=cpu,selftest,train,kernels,fused,profile,sweep,replicas,study,step,sanitizer
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

# What each part has of all the time: its number over the sum of those that are asked for.
share_of() {
    case $1 in
    cpu) echo 10 ;;
    selftest) echo 100 ;; # what all else rests on; some 430 programs a precision
    train | replicas) echo 50 ;;
    kernels | fused | sweep) echo 40 ;;
    profile) echo 20 ;;
    study) echo 80 ;;
    step) echo 130 ;;
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

# How many figures a file has.
figures() { grep -c '^{".*}$' "$1"; }

# How many a list "16,64" names.
count() { echo "$1" | tr , '\n' | wc -l; }

# Text that can be cut anywhere: what is not ASCII is a question mark.
ascii() { tr '\200-\377' '?'; }

# Text as the inside of a JSON string.
quote() { printf '%s' "$*" | ascii | tr '\n\t' '  ' | tr -d '\000-\037' | sed 's/\\/\\\\/g; s/"/\\"/g'; }

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
    *) note "$part" failed "exit code $1${2:+, $2}; $part.log ends: $(tail -n 1 "$logs/$part.log" 2>/dev/null | ascii | cut -c 1-160)" ;;
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
commit=$(cat "$root/COMMIT" 2>/dev/null || git -C "$root" describe --always --dirty 2>/dev/null || echo unknown)
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
timeout -k 5 60 "$quaver" doctor >"$logs/doctor.log" 2>&1
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
# Why nothing can be tried; empty: it can, as far as is known.
why_no_gpu='' use=$(sed -n 's/^  cuda:0  *//p' "$logs/doctor.log" | head -n 1)
if [ -z "$gpu" ]; then
    why=$(sed -n 's/^  none can be used  *//p' "$logs/doctor.log" | head -n 1)
    why_no_gpu="no device: ${why:-doctor found none}"
elif [ $doctor -eq 0 ] && [ "${use#can be used}" = "$use" ]; then
    why_no_gpu=${use:-doctor does not say that it can be used}
    note doctor failed "$gpu: $why_no_gpu"
fi

# --- parts ---

# The JSON object of quaver selftest in a line, as all figures are; and of it, all but its rows.
in_a_line() { [ ! -s "$1" ] || { tr '\n' ' ' <"$1" | sed 's/ *$//'; echo; }; }
without_rows() { sed 's/"rows":.*//'; }

part_cpu() {
    limited 1 "$quaver" selftest --device cpu --json -q >"$work/selftest.json" 2>"$logs/cpu.log"
    code=$?
    in_a_line "$work/selftest.json" >"$logs/cpu.jsonl"
    verdict $code "$(without_rows <"$logs/cpu.jsonl" | field failed) of $(without_rows <"$logs/cpu.jsonl" | field cases) cases outside"
}

# The quiet seconds after which something is taken to hang: each op of the selftest takes a few.
most_quiet=${QV_QUIET:-30}

# watched N LOG COMMAND...: as limited, and stopped where its log has not grown for so long; 125: it was.
watched() {
    limit=$(((part_until - $(date +%s) + $1 - 1) / $1)) log=$2 size=0
    shift 2
    [ $limit -gt 0 ] || return 124
    timeout -k 5 $limit "$@" 2>>"$log" &
    child=$! grown=$(date +%s)
    while kill -0 $child 2>/dev/null; do
        sleep 0.2
        now=$(wc -c <"$log")
        [ "$now" -eq "$size" ] || size=$now grown=$(date +%s)
        [ $(($(date +%s) - grown)) -lt "$most_quiet" ] || break
    done
    if kill $child 2>/dev/null; then wait $child; return 125; fi # timeout hands it on
    wait $child
}

# A row of the selftest as --skip takes it: "op conv", "step preact, odd".
to_skip() { sed -e 's/^op //' -e t -e 's/ .*//'; }

# Of a log of quaver selftest -v: what began, to be skipped; what began last; and how all of it came out.
begun() { sed -n -E 's/^((op|step|training) .*): begun$/\1/p' "$1" | to_skip | sort -u | paste -s -d , -; }
last_begun() { sed -n 's/: begun$//p' "$1" | tail -n 1; }
cases_outside() {
    awk 'match($0, /: [0-9]+ cases, [0-9]+ outside/) {
            split(substr($0, RSTART + 2, RLENGTH - 2), n, /[ ,]+/)
            cases += n[1]
            bad += n[3]
            if (n[3] > 0) where = where (where == "" ? " in " : ", ") substr($0, 1, RSTART - 1)
        }
        END { print cases ? bad " of " cases " cases outside" where : "no result" }' "$1"
}

# selftest_in PRECISION: whole; where it hangs, crashes or leaves the GPU unusable, what is left in another process, of
# which there are five. What hangs in one precision is left out of the others.
selftest_in() {
    tested=$hung broken='' code=1 processes=0 log=$logs/selftest-$1.log
    : >"$log"
    while [ $processes -lt 5 ]; do
        processes=$((processes + 1))
        watched "$turns" "$log" "$quaver" selftest --device "$device" --precision "$1" ${tested:+--skip "$tested"} --json -v \
            >"$work/selftest.json"
        code=$?
        in_a_line "$work/selftest.json" >>"$logs/selftest.jsonl"
        grep -q '"stopped": ""' "$work/selftest.json" && break
        at=$(last_begun "$log") why="ended it with exit code $code" before_it=$tested
        case $code in
        124 | 137) why="when its time was over" ;;
        125) why="does not end" ;;
        esac
        broken="$broken, ${at:-its start} $why"
        case $code:$at in 124:* | 137:* | *:) break ;; esac
        [ $code -ne 125 ] || hung=$hung${hung:+,}$(echo "$at" | to_skip)
        echo "$1 $(echo "$at" | to_skip)" >>"$work/struck"
        tested=$(begun "$log")${hung:+,$hung}
        case ,$tested, in *,training,* | ",$before_it,") break ;; esac
    done
    [ -z "$broken" ] || [ "$code" -ne 0 ] || code=1
    [ "$code" -eq 0 ] || worst=$code
    said="$said${said:+, }$1: $(cases_outside "$log")$broken"
}

part_selftest() {
    worst=0 said='' turns=3 hung=''
    for precision in fp32 tf32 bf16; do
        selftest_in $precision
        turns=$((turns - 1))
    done
    cat "$logs"/selftest-*.log >"$logs/selftest.log"
    verdict $worst "$said"
}

# The ops whose kernels have shared memory, barriers, shuffles or tickets: in others there are no races to look for.
shared_ops=conv,conv_grad_x,conv_grad_w,bn_stats,bn_measure,bn_grad_sums,block_end,pool,loss,unit,unit_grad,margin,center,clip,gather

# What compute-sanitizer's tools call what they find.
findings='^========= (Invalid|Uninit|Misaligned|Race|Potential|Barrier|Program hit|Error|Warning: Race|Fatal|Internal|Host API)'

# sanitized CHECK PROGRAM ARGUMENTS...: the program itself, and not what finds a bundle's libraries.
sanitized() {
    tool="$sanitizer --tool $1 --error-exitcode 99" program=$2
    shift 2
    if [ -f "$here/BUNDLE" ]; then
        limited "$turns" env QV_UNDER="$tool" "$program" "$@"
    else
        # shellcheck disable=SC2086 # words
        limited "$turns" $tool "$program" "$@"
    fi
}

# look CHECK OF PROGRAM ARGUMENTS...: what the check finds is a figure, and in the note. OF names it, empty: the tests.
look() {
    check=$1 of=$2 log=$logs/sanitizer-$1${2:+-$2}.log
    shift 2
    sanitized "$check" "$@" >"$log" 2>&1
    code=$? turns=$((turns - 1)) found=$(grep -a -c -E "$findings" "$log")
    first=$(grep -a -A 1 -m 1 -E "$findings" "$log" | sed 's/^=*  *//' | paste -s -d ' ' - | ascii | cut -c 1-200)
    case $found:$code in
    0:0) result=clean ;;
    0:124 | 0:137) result="time limit, none found" ;;
    0:*) result="exit code $code" ;;
    *:124 | *:137) result="$found FOUND, time limit ($first)" ;;
    *) result="$found FOUND ($first)" ;;
    esac
    # A test that finds no device says that it was skipped, and ends well.
    [ -n "$of" ] || [ "$result" != clean ] || grep -q '\[  PASSED  \] [1-9]' "$log" || code=1 result="ran no test"
    [ "$found" -eq 0 ] || [ $code -ne 0 ] || code=99
    [ $code -eq 0 ] || worst=$code
    said="$said${said:+, }$check${of:+ of $of} $result"
    printf '{"part": "sanitizer", "tool": "%s", "of": "%s", "found": %d, "exit_code": %d}\n' "$check" "${of:-tests}" "$found" $code \
        >>"$logs/sanitizer.jsonl"
}

part_sanitizer() {
    tests=$(tool test_kernels_gpu) sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
    [ -n "$tests" ] || { skip "test_kernels_gpu was not built (cmake -S . -B build -DQV_TESTS=ON)"; return; }
    [ -n "$sanitizer" ] || { skip "no compute-sanitizer: it comes with the CUDA toolkit"; return; }
    worst=0 said=''
    # First what ended the selftest, of which that could not say where.
    awk '!seen[$2]++' "$work/struck" 2>/dev/null | head -n 2 >"$work/ops"
    turns=$((4 + $(wc -l <"$work/ops")))
    while read -r precision op; do
        look memcheck "$precision-$op" "$quaver" selftest --device "$device" --precision "$precision" --only "$op" --small -q </dev/null
    done <"$work/ops"
    for check in memcheck racecheck initcheck synccheck; do
        case $check in racecheck | synccheck) export QV_OPS=$shared_ops ;; *) unset QV_OPS ;; esac
        # Where an allocation ends with the operand, memcheck sees what reaches past it. Each 19th of some 5,500 cases,
        # which would not end in the time of this part; a prime, since options of the cases come in cycles of a few.
        look $check '' "$tests" --small --every 19 --only in_tight_memory
    done
    unset QV_OPS
    cat "$logs"/sanitizer-*.log >"$logs/sanitizer.log"
    verdict $worst "$said"
}

# What bench_step --profile prints, as JSON: a line "conv   1.234 ms   5.6 %" an op, and a line a convolution,
# "  conv   64 x   64 x   32 to   64 x   64 x   32, 3 x 3, groups 1:    0.1234 ms,   1234.5 GFLOP/s (weights)".
profile_tables='s/^\([a-z_0-9]*\) \([0-9.]*\) ms \([0-9.]*\) %$/{"op": "\1", "ms": \2, "percent": \3}/p
s/^ \([a-z_0-9]*\) \([0-9x ]*\) to \([0-9x ]*\), \([0-9]*\) x [0-9]*, groups \([0-9]*\): \([0-9.]*\) ms, \([0-9.]*\) GFLOP.s (\([^"]*\))$/'\
'{"op": "\1", "from": "\2", "to": "\3", "kernel": \4, "groups": \5, "ms": \6, "gflops": \7, "weights": "\8"}/p'

# Op by op, so of a batch whose ops take the GPU longer than the host takes to launch them; and of the usual one.
part_profile() {
    bench=$(tool bench_step) worst=0 turns=3
    [ -n "$bench" ] || { skip "bench_step was not built (cmake -S . -B build -DQV_BENCH=ON)"; return; }
    while read -r precision batch; do
        log=$logs/profile-$precision-$batch.log
        limited $turns "$bench" --device "$device" --precision "$precision" --batch "$batch" --profile >"$log" 2>&1 </dev/null
        code=$? turns=$((turns - 1))
        [ $code -eq 0 ] || worst=$code
        tr -s ' ' <"$log" | sed -n "$profile_tables" | sed "s/^{/{\"precision\": \"$precision\", \"batch\": $batch, /" >>"$logs/profile.jsonl"
    done <<END
bf16 256
fp32 256
bf16 64
END
    cat "$logs"/profile-*.log >"$logs/profile.log"
    [ $worst -ne 0 ] || [ -s "$logs/profile.jsonl" ] || worst=1
    verdict $worst "$(figures "$logs/profile.jsonl") lines"
}

# 235 cases of 0.15 s, or of less where the part has less: two fifths of its time are for what surrounds them.
part_kernels() {
    bench=$(tool bench_kernels)
    [ -n "$bench" ] || { skip "bench_kernels was not built (cmake -S . -B build -DQV_BENCH=ON)"; return; }
    each=$(awk -v limit=$((part_until - $(date +%s))) 'BEGIN { each = 0.6 * limit / 235; print each < 0.15 ? each : 0.15 }')
    limited 1 "$bench" --seconds "$each" >"$logs/kernels.log" 2>&1
    code=$?
    cp "$logs/kernels.log" "$logs/kernels.jsonl"
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
    cp "$logs/fused.log" "$logs/fused.jsonl"
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
    found=$(figures "$logs/sweep.jsonl")
    [ "$found" -eq $asked ] || worst=1
    verdict $worst "$found of $asked sizes"
}

# Words for a shell, or Python's shlex.
quoted() { for word; do printf "'%s' " "$(printf '%s' "$word" | sed "s/'/'\\\\''/g")"; done; }

# What is compared, the most important first: PRECISION PEER'S_PRECISION BATCH CONTENDERS. Before the peer at its best,
# compile-graph, stand those alone that take seconds.
comparisons='bf16 bf16-stored 64 eager,channels-last,compile-graph
bf16 bf16-stored 256 eager,channels-last,compile-graph
tf32 tf32 64 compile-graph
bf16 bf16-stored 64 graph-channels-last,compile'

# weight CONTENDERS: how long a comparison takes, as far as that can be told: one that compiles as four that do not.
weight() { echo "$1" | tr , '\n' | awk '{ w += /^compile/ ? 4 : 1 } END { print w + 2 }'; }

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
    # PyTorch times cuDNN's candidates, too.
    case $5 in *compile-graph*)
        limited 1 "$bench" --device "$device" --precision "$2" --batch "$4" --autotune 2>>"$logs/step.log" |
            sed "s/^{\"bench\"/{\"round\": $1, \"precision\": \"$2\", \"bench\"/" >>"$logs/step.jsonl"
        ;;
    esac
    [ "$1" -eq 1 ] || return
    for contender in quaver $(echo "$5" | tr , ' '); do
        grep -q "\"contender\": \"$contender\".*median_ms" "$logs/step-compared.jsonl" && continue
        lacking="$lacking${lacking:+, }$contender $3 $4" missing=$((missing + 1))
        [ $code -ne 0 ] || code=1 # it ended badly, and torch_step.py went on
        [ "$worst" -ne 0 ] || worst=$code
    done
}

# Why PyTorch cannot be compared with; nothing where it can.
no_torch() {
    if [ -z "$torch" ]; then
        echo "no PyTorch in ${python:-python3} (--python names another one)"
    elif ! limited 2 "$python" -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2>>"$logs/$part.log"; then
        echo "PyTorch $torch finds no GPU"
    fi
}

# A third of each training's epochs, which bench_study multiplies; its other parts are whole.
part_study() {
    bench=$(tool bench_study) trainings=8,4,1
    [ -n "$bench" ] || { skip "bench_study was not built (cmake -S . -B build -DQV_BENCH=ON)"; return; }
    limited 2 "$bench" --device "$device" --precision bf16 --epochs 20 --replicas $trainings \
        >"$logs/study.jsonl" 2>"$logs/study.log"
    code=$? said="$(figures "$logs/study.jsonl") of $(count $trainings) numbers of trainings" why=$(no_torch)
    if [ -n "$why" ]; then
        said="$said; $why"
    else
        limited 1 "$python" "$peers/torch_study.py" --device cuda --precision bf16-stored \
            --beside "cat $(quoted "$logs/study.jsonl")" >"$logs/study-beside.jsonl" 2>>"$logs/study.log"
        beside=$?
        [ $code -ne 0 ] || code=$beside
        [ ! -s "$logs/study-beside.jsonl" ] || cp "$logs/study-beside.jsonl" "$logs/study.jsonl"
        compared=$(grep -c '"contender".*"ratio"' "$logs/study.jsonl") said="$said, $compared of 2 ways of PyTorch"
        [ $code -ne 0 ] || [ "$compared" -eq 2 ] || code=1
    fi
    verdict $code "$said"
}

part_step() {
    bench=$(tool bench_step)
    [ -n "$bench" ] || { skip "bench_step was not built (cmake -S . -B build -DQV_BENCH=ON)"; return; }
    why=$(no_torch)
    [ -z "$why" ] || { skip "$why"; return; }
    # Another command on this machine finds what this one has compiled.
    TORCHINDUCTOR_CACHE_DIR=${TMPDIR:-/tmp}/quaver-inductor-$(id -u) TORCHINDUCTOR_FX_GRAPH_CACHE=1
    export TORCHINDUCTOR_CACHE_DIR TORCHINDUCTOR_FX_GRAPH_CACHE
    worst=0 lacking='' missing=0 asked=0 slowest=0
    : >"$work/took"
    # All of them, then again with what the compiler has kept, three times at most; each is begun only where there is
    # time for it and an eighth more: what it took before, else what the slowest so far would have taken for it.
    for round in 1 2 3; do
        while read -r precision peers_precision batch contenders; do
            begin=$(date +%s) of=$(weight "$contenders") name="$precision $peers_precision $batch $contenders"
            took=$(sed -n "s/^$name //p" "$work/took" | tail -n 1)
            [ $((part_until - begin)) -gt $((${took:-$((slowest * of / 100))} * 9 / 8)) ] || continue
            compare $round "$precision" "$peers_precision" "$batch" "$contenders" </dev/null
            [ $round -gt 1 ] || asked=$((asked + 1))
            took=$(($(date +%s) - begin))
            echo "$name $took" >>"$work/took"
            [ $((took * 100 / of)) -le $slowest ] || slowest=$((took * 100 / of))
        done <<END
$comparisons
END
    done
    grep -q '"beside".*"failed"' "$logs/step.jsonl" && [ $worst -eq 0 ] && worst=1
    every=$(echo "$comparisons" | wc -l)
    said="$(grep -c median_ms "$logs/step.jsonl") timings in $asked of $every comparisons, $missing contenders missing"
    verdict $worst "$said${lacking:+: $lacking}"
}

# Rounds of as many steps as there are seconds, two hundred at most.
part_replicas() {
    bench=$(tool bench_replicas) batches=64,16,8 trainings=1,2,4,8
    [ -n "$bench" ] || { skip "bench_replicas was not built (cmake -S . -B build -DQV_BENCH=ON)"; return; }
    steps=$((part_until - $(date +%s)))
    [ $steps -ge 20 ] || steps=20
    [ $steps -le 200 ] || steps=200
    limited 1 "$bench" --device "$device" --precision bf16 --rounds 3 --steps $steps --batch $batches --replicas $trainings \
        >"$logs/replicas.jsonl" 2>"$logs/replicas.log"
    verdict $? "$(figures "$logs/replicas.jsonl") of $(($(count $batches) * $(count $trainings))) sizes"
}

# ask STEP ARGUMENTS...: the program, as one step of the part train. It may take half of what is left.
ask() {
    step=$1 begin=$(date +%s)
    shift
    limited 2 env XDG_CACHE_HOME="$work/cache" "$quaver" "$@" >"$logs/train-$step.log" 2>&1
    code=$?
}

# The UA that a step printed: of the recordings that were held out, and of those that trained.
ua_of() { sed -n 's/^UA *\([0-9.]*\).*/\1/p' "$logs/train-$1.log" | head -n 1; }
ua_in_training_of() { sed -n 's/.*UA \([0-9.]*\) in training.*/\1/p' "$logs/train-$1.log" | head -n 1; }

# answer WRONG: what is wrong with a step that ended well, empty: nothing. It is a figure, and a word of the note.
answer() {
    wrong=$1 ua=$(ua_of "$step") ok=true
    case $code in 0) ;; 124 | 137) wrong="time limit" ;; *) wrong="exit code $code" ;; esac
    [ -z "$wrong" ] || ok=false worst=1
    said="$said${said:+, }$step ${wrong:-${ua:+UA }${ua:-ok}}"
    printf '{"part": "train", "step": "%s", "ok": %s, "ua": %s, "ua_in_training": %s, "seconds": %d, "exit_code": %d}\n' \
        "$step" $ok "${ua:-null}" "$(in_training=$(ua_in_training_of "$step"); echo "${in_training:-null}")" \
        $(($(date +%s) - begin)) "$code" >>"$logs/train.jsonl"
}

# Patches and mel bands of the reference network in a small one. Trainings of one precision and another go different
# ways, so what a GPU must reach on what it trained with is half of what the processor has above chance.
train_small() {
    ask cpu train --config "$small" --manifest "$made" --device cpu --out "$work/train/cpu"
    answer ''
    for precision in fp32 bf16; do
        ask $precision train --config "$small" --manifest "$made" --device "$device" --run.precision=$precision \
            --out "$work/train/$precision"
        answer "$(awk -v is="$(ua_in_training_of $precision)" -v cpu="$(ua_in_training_of cpu)" -v classes=4 \
            'BEGIN { if (is < (1 / classes + cpu) / 2) printf "UA in training %s, on the processor %s", is, cpu }')"
    done
}

# interrupted ARGUMENTS...: as soon as there is a checkpoint to go on from; 130: it was.
interrupted() {
    limit=$((part_until - $(date +%s)))
    [ $limit -gt 0 ] || return 124
    timeout -k 5 $limit env XDG_CACHE_HOME="$work/cache" "$quaver" "$@" >"$logs/train-$step.log" 2>&1 &
    child=$!
    while [ ! -e "$work/train/half/last.safetensors" ] && kill -0 $child 2>/dev/null; do sleep 0.05; done
    kill -INT $child 2>/dev/null # timeout hands it on
    wait $child
}

# One training whole, and the same in two halves: the weights must be the same bits (docs/gpu.md). It is evaluated and
# kept after each epoch, so that it is still under way when it is interrupted after the first.
train_twice() {
    set -- train --config "$small" --manifest "$made" --epochs 150 --eval.every=1 --device "$device"
    ask whole "$@" --out "$work/train/whole"
    answer ''
    step=interrupted begin=$(date +%s) wrong=''
    interrupted "$@" --out "$work/train/half"
    code=$?
    case $code in 130) code=0 ;; 0) wrong="ended before it was" ;; esac
    answer "$wrong"
    ask resumed train --resume --out "$work/train/half"
    wrong=
    for file in best.safetensors last.safetensors; do
        cmp -s "$work/train/whole/$file" "$work/train/half/$file" || wrong="$wrong${wrong:+, }other bits in $file"
    done
    answer "$wrong"
}

# What the fp32 checkpoint says on the processor and on the GPU: of all recordings the UA, to a fiftieth; of one the
# probabilities, to a thousandth.
use_checkpoint() {
    checkpoint=$work/train/fp32/best.safetensors
    for on in cpu "$device"; do
        ask "eval-$on" eval --checkpoint "$checkpoint" --manifest "$made" --device "$on"
        answer "$(awk -v is="$(ua_of "eval-$on")" -v cpu="$(ua_of eval-cpu)" \
            'BEGIN { if (is == "" || (is - cpu) ^ 2 > 0.02 ^ 2) printf "UA %s, on the processor %s", is, cpu }')"
        ask "predict-$on" predict --checkpoint "$checkpoint" --device "$on" --out "$work/train/$on.csv" \
            "$work/train/corpus/wav/s01_anger_01.wav"
        answer "$(paste -d, "$work/train/cpu.csv" "$work/train/$on.csv" 2>&1 | awk -F, '
            { for (i = NF / 2; i > 0; i--) if ($i != $(i + NF / 2) && !($i ~ /^[0-9.]+$/ && ($i - $(i + NF / 2)) ^ 2 < 1e-6)) bad = 1 }
            END { if (bad || NR != 2) printf "not what the processor says" }')"
    done
}

# Two cells on four folds: eight trainings, four at a time.
train_study() {
    cat >"$work/train/study.ini" <<'END'
[study]
question = Do trainings go side by side?
[corpus made]
embedded = 4 3
folds = speaker
[settings]
net.width = 16
train.epochs = 10
train.batch = 16
[axis shake]
setting = shake.forward
values = even, shake
[compare shaken]
difference = shake=shake - shake=even
END
    ask study study "$work/train/study.ini" --out "$work/train/study" --device "$device" -j 4
    records=$(find "$work/train/study/records" -type f 2>/dev/null | wc -l)
    answer "$([ "$records" -eq 8 ] || echo "$records of 8 records")"
}

train_emodb() {
    ask emodb-corpus corpus emodb "$QV_CORPORA/emodb" --labels anger,happiness,neutral,sadness --out "$work/train/emodb.csv"
    answer ''
    for precision in fp32 bf16; do
        ask emodb-$precision train --config "$root/data/configs/speech.ini" --manifest "$work/train/emodb.csv" \
            --folds "$root/data/folds/emodb.txt" --out "$work/train/emodb-$precision" --device "$device" --run.precision=$precision -q
        answer ''
    done
}

# The commands as users give them, on recordings that the program makes itself; then on real ones.
part_train() {
    worst=0 said='' made=$work/train/corpus/manifest.csv small=$work/train/small.ini
    mkdir "$work/train"
    printf '[net]\nwidth = 16\n[train]\nbatch = 16\nepochs = 30\n[eval]\nevery = 10\n' >"$small"
    ask corpus corpus synth "$work/train/corpus" --speakers 8 --sentences 4
    answer ''
    train_small
    train_twice
    use_checkpoint
    train_study
    if [ -d "${QV_CORPORA:-}/emodb" ]; then train_emodb; else said="$said; no EMO-DB (QV_CORPORA names the folder of emodb)"; fi
    cat "$logs"/train-*.log >"$logs/train.log"
    verdict "$worst" "$said"
}

# --- the record ---

# json_part NAME STATUS SECONDS BEFORE AFTER WHY
json_part() {
    printf '  {"name": "%s", "status": "%s", "seconds": %d, "before": %s, "after": %s, "note": "%s", "figures": [' \
        "$1" "$2" "$3" "$4" "$5" "$(quote "$6")"
    # A line a figure, however long. What a library prints among them is none, and neither is half a line.
    if [ -s "$logs/$1.jsonl" ]; then
        awk 'BEGIN { ORS = "" } /^\{".*\}$/ { print comma "\n   " $0; comma = "," }' "$logs/$1.jsonl"
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

# Of a flat JSON line.
# shellcheck disable=SC2016 # awk's
awk_value='function value(name) {
    if (!match($0, "\"" name "\": *[^,}]*")) return ""
    text = substr($0, RSTART, RLENGTH)
    gsub(/^[^:]*: *|"/, "", text)
    return text
}
function contender() { return value("contender") (value("autotune") == "true" ? " tuned" : "") }
!/^\{".*\}$/ { next }
'

print_table() {
    echo "${gpu:-no GPU}${driver:+, driver $driver}${toolkit:+, CUDA toolkit $toolkit}${torch:+, PyTorch $torch}; Quaver at commit $commit"
    echo
    printf '%-10s %-8s %5s  %s\n' part status s note
    while IFS=$tab read -r name status took _ _ why; do printf '%-10s %-8s %5s  %s\n' "$name" "$status" "$took" "$why"; done <"$work/parts"
    for name in sweep step replicas fused; do
        [ -s "$logs/$name.jsonl" ] || continue
        echo
        awk -v part=$name "$awk_value"'
            BEGIN {
                replicas = "%-10s %6s %9s %14s %18s %6s\n"
                fused = "%-10s %-10s %-18s %9s %10s %10s %10s %10s\n"
                steps = "%-10s %-11s %-22s %6s %10s %12s\n"
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
                printf steps, "", value("precision"), contender(), value("batch"),
                    failed == "" ? value("median_ms") : "failed " failed, value("samples_per_s")
            }' "$logs/$name.jsonl"
    done
    print_goals
}

# What is to be reached, from the figures so far: means over the rounds of step. A step of 64 samples moves at least what
# takes an H200 0.61 ms; the passes are those that move half a GiB, since smaller ones may find it in the cache.
print_goals() {
    echo
    for name in step sweep kernels replicas study; do [ ! -f "$logs/$name.jsonl" ] || cat "$logs/$name.jsonl"; done | awk "$awk_value"'
        value("median_ms") != "" && value("bench") == "step" {
            name = value("precision") " " contender() " " value("batch") (value("round") == "" ? " alone" : "")
            sum[name] += value("median_ms"); n[name]++
        }
        value("bench") == "kernels" && value("bytes") + 0 >= 2 ^ 29 && value("kernel") !~ /^conv/ {
            passes++
            if (least == "" || value("share") + 0 < least) { least = value("share") + 0; pass = value("kernel") ", " value("stored") }
        }
        value("bench") == "replicas" && value("replicas") + 0 > 1 && value("ratio") + 0 > best[value("batch")] + 0 {
            best[value("batch")] = value("ratio") + 0; with[value("batch")] = value("replicas")
        }
        value("bench") == "study" && value("contender") == "quaver" && value("total_min") != "" {
            if (minutes == "" || value("total_min") + 0 < minutes) { minutes = value("total_min") + 0; lanes = value("replicas") }
        }
        value("bench") == "study" && value("ratio") != "" { study = faster(study, value("ratio") + 0) }
        function ms(name) { return n[name] ? sum[name] / n[name] : "" }
        function faster(a, b) { return a == "" || (b != "" && b < a) ? b : a }
        function over(a, b) { return a == "" || b == "" ? "" : a / b }
        function goal(name, is, sign, asked) {
            printf "%-66s %9s %9s  %s\n", name, is == "" ? "no figure" : sprintf("%.2f", is), sign " " asked,
                is == "" ? "" : (sign == ">=" ? is + 0 >= asked : is + 0 <= asked) ? "reached" : "missed"
        }
        function against(peer, precision, batch, time, asked) {
            goal(peer " / quaver, " precision ", batch " batch, over(time, ms(precision " quaver " batch)), ">=", asked)
            if (ms(precision " quaver tuned " batch) != "")
                goal(peer " / quaver tuned, " precision ", batch " batch, over(time, ms(precision " quaver tuned " batch)), ">=", asked)
        }
        function eager(batch) { return faster(ms("bf16-stored eager " batch), ms("bf16-stored channels-last " batch)) }
        function compiled(precision, batch) { return faster(ms(precision " compile-graph " batch), ms(precision " compile " batch)) }
        END {
            printf "%-66s %9s %9s\n", "goal", "measured", "asked"
            goal("minutes of 400 trainings, evaluations counted" (lanes ? ", " lanes " at a time" : ""), minutes, "<=", 30)
            goal("eager one after the other / quaver, 400 trainings", study, ">=", 3)
            against("eager", "bf16", 64, eager(64), 3)
            against("eager", "bf16", 256, eager(256), 1.8)
            against("compiled", "bf16", 64, compiled("bf16-stored", 64), 1.4)
            against("compiled", "bf16", 256, compiled("bf16-stored", 256), 1.2)
            against("compiled", "tf32", 64, compiled("tf32", 64), 1.3)
            step = ms("bf16 quaver 64")
            goal("ms a step, bf16, batch 64", step == "" ? ms("bf16 quaver 64 alone") : step, "<=", 0.61 * 1.7)
            goal("least share of the copy bandwidth" (passes ? ", of " passes ": " pass : ""), least, ">=", 0.85)
            goal("trainings side by side, batch 64" (with[64] ? ", " with[64] " of them" : ""), best[64], ">=", 1.2)
            goal("trainings side by side, batch 16" (with[16] ? ", " with[16] " of them" : ""), best[16], ">=", 1.4)
        }'
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
    if [ -n "$why_no_gpu" ]; then
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
