#!/bin/sh
# Would the tests of the CUDA backend see a fault? Plants one after the other (tests/simt/plant.h) and requires the test
# named beside it to fail. Streams run late, in orders that the seeds decide; a fault may be harmless in some of them,
# so each has a few, in all of which the test must pass without it.
# usage: plants.sh DIR, which holds the programs cuda_test_training_*
dir=$1
test -x "$dir/cuda_test_training_plain" || { echo "usage: plants.sh DIR" >&2; exit 2; }
log=$(mktemp) || exit 2
trap 'rm -f "$log"' EXIT
seeds='2 3 4 5'
missed=0

# plant FLAVOUR FAULT TEST: caught under at least one of the seeds.
plant() {
    program=$dir/cuda_test_training_$1
    for seed in $seeds; do
        if ! SIMT_SEED=$seed SIMT_DEFER=1 "$program" "$3" >"$log" 2>&1; then
            tail -n 5 "$log" >&2
            echo "$3 fails without any fault under seed $seed" >&2
            exit 1
        fi
        SIMT_SEED=$seed SIMT_DEFER=1 SIMT_PLANT=$2 "$program" "$3" >"$log" 2>&1 && continue
        if grep -q 'nothing was planted' "$log"; then
            echo "$2: there is nothing to plant in $3"
            break
        fi
        if seen=$(grep -m 1 -E '^simt: |^race on |ERROR: |off by|ERROR ' "$log"); then
            echo "$2: caught by $3 ($1), $seen"
            return
        fi
        tail -n 5 "$log" >&2
        echo "$2: $3 ends without a word of what it has seen"
        break
    done
    echo "$2: NOT CAUGHT by $3 ($1)"
    missed=$((missed + 1))
}

streamed=streamed_features_give_the_same_bits
graphs=graphs_give_the_bits_of_single_launches
plant plain wait:1 $streamed     # the batch is read before it has arrived
plant plain wait:2 $streamed     # and overwritten before it was read
plant plain sync:0 $streamed     # pinned memory is filled again, and losses read, too early
plant plain sync:0 fifty_losses_as_the_reference
plant plain capture:0 $graphs    # the stem reads the batch before
plant plain capture:1 $graphs
plant plain capture:20 $graphs
plant plain set:0 fifty_losses_as_the_reference # moments that nobody wrote
plant plain launch:finalize every_buffer_of_every_order # deviations that nobody wrote
plant plain launch:advance rates_follow_over_all_blocks
plant plain far:over_rows nothing_reads_a_dead_buffer
plant asan far:over_rows every_buffer_of_every_order # past the end of the last buffer
test $missed -eq 0 && echo "all caught"
