#!/usr/bin/env bash
# What only a GPU shows, in one command. Needs this project's files and torch, torchvision, numpy, pydantic and pyarrow;
# not Ray.
#
#   benchmarks/gpu.sh DATA_DIR [DEVICE] [RESULTS]     e.g. benchmarks/gpu.sh ../shared/data/cifar10 cuda gpu-results
#
# Images/s of the training loop against a plain script (goal: 4x) and against the matmul ceiling measured on the spot
# (goal: 35 % for ResNet-18), then 1, 2, 4 and 8 trials at once, the latency of pruned networks, and two epochs of ResNet-20
# eager, replayed as CUDA graphs and compiled, whole and continued: to the same bits? Each of the seven parts is ended after
# two minutes (PART_SECONDS); each has a file in the folder RESULTS, whatever becomes of the others, with all that it had
# measured when it was ended. The exit code is the number of parts that failed. MODELS, LATENCY_MODEL, ROUNDS, SECONDS_EACH,
# LATENCY_SECONDS and EPOCHS make it smaller.
set -uo pipefail
data=${1:?the folder with CIFAR-10 as Parquet files}
device=${2:-cuda}
results=${3:-gpu-results}
here=$(dirname "$0")
python=${PYTHON:-python3}
failed=0
mkdir -p "$results"

part() {  # NAME COMMAND...: run it, show and keep what it prints, and go on
    local name=$1 code
    shift
    echo "== $name"
    timeout --kill-after=10 "${PART_SECONDS:-120}" "$@" 2>&1 | tee "$results/$name.txt"
    code=${PIPESTATUS[0]}
    if [ "$code" -ne 0 ]; then
        failed=$((failed + 1))
        echo "FAILED: $name ended with exit code $code" | tee -a "$results/$name.txt"
    fi
}

read -ra models <<< "${MODELS:-resnet18 resnet20}"
each=${SECONDS_EACH:-3}
for model in "${models[@]}"; do
    part "throughput-$model" "$python" "$here/throughput.py" "$model" --data-dir "$data" --device "$device" \
        --rounds "${ROUNDS:-3}" --seconds "$each"
    part "packing-$model" "$python" "$here/packing.py" "$model" --data-dir "$data" --device "$device" --seconds "$each"
done
part latency "$python" "$here/slim.py" "${LATENCY_MODEL:-resnet18}" --device "$device" --seconds "${LATENCY_SECONDS:-15}"
for ways in "eager graphs" "compiled compiled-graphs"; do
    # shellcheck disable=SC2086  # ways are words
    part "replay-${ways%% *}" "$python" "$here/replay.py" "${models[-1]}" --data-dir "$data" --device "$device" \
        --epochs "${EPOCHS:-2}" --ways $ways
done
parts=$((2 * ${#models[@]} + 3))
echo "$((parts - failed)) of $parts parts ran to their end; results in $results"
exit "$failed"
