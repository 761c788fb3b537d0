#!/usr/bin/env bash
# What only a GPU shows, in one command. Needs this project's files and torch, torchvision, numpy, pydantic and pyarrow;
# not Ray.
#
#   benchmarks/gpu.sh DATA_DIR [DEVICE] [RESULTS]     e.g. benchmarks/gpu.sh ../shared/data/cifar10 cuda gpu-results
#
# Images/s of the training loop against a plain script (goal: 4x) and against the matmul ceiling measured on the spot
# (goal: 35 % for ResNet-18), then 1, 2, 4 and 8 trials at once, then the latency of pruned networks. Each of the five
# parts is ended after two minutes (PART_SECONDS); each has a file in the folder RESULTS, whatever becomes of the others.
# The exit code is the number of parts that failed.
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

for model in resnet18 resnet20; do
    part "throughput-$model" "$python" "$here/throughput.py" "$model" --data-dir "$data" --device "$device" --rounds 3 --seconds 4
    part "packing-$model" "$python" "$here/packing.py" "$model" --data-dir "$data" --device "$device" --seconds 4
done
part latency "$python" "$here/slim.py" --device "$device" --seconds 15
echo "$((5 - failed)) of 5 parts ran to their end; results in $results"
exit "$failed"
