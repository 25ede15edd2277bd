#!/bin/bash
# rehearse.sh [FOLDER]: runs a small sweep on Ray on this machine, kills a worker half-way, and compares the results with
# those of one process. PYTHON names a Python that has Ray, STEPCAST the command. Ends with 0 if they are the same bytes.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=${1:-$(mktemp -d)}
python=${PYTHON:-python3}
export STEPCAST=${STEPCAST:-stepcast}

mkdir -p "$folder"
cat > "$folder/sweep.yaml" <<'YAML'
name: rehearsal
base: {model: llama-3.1-8b, gpu: h100-sxm, workload: chat, num-prompts: 12000}
axes:
  max-num-seqs: [32, 64, 128, 256]
  request-rate: [2, 4, 6, 8, 10, 12]
objective: maximize output_throughput_per_gpu
YAML

"$STEPCAST" sweep "$folder/sweep.yaml" --output "$folder/local" > /dev/null
"$python" "$here/sweep_on_ray.py" "$folder/sweep.yaml" --output "$folder/ray" --parts 2 > "$folder/ray.txt" 2> "$folder/ray.err" &
driver=$!

# Once a part has finished something and has more to do, its worker dies.
killed=
for _ in $(seq 1 1200); do
    kill -0 "$driver" 2> /dev/null || break
    log=$folder/ray/part-1.log
    lines=$( (wc -l < "$folder/ray/part-1/journal.jsonl") 2> /dev/null || echo 0)
    if ((lines >= 2 && lines < 12)); then
        killed=$(sed -n 's/^worker //p' "$log" | tail -1)
        kill -9 "$killed"
        echo "killed worker $killed after $lines of 12 configurations"
        break
    fi
    sleep 0.05
done
wait "$driver" || { tail -5 "$folder/ray.err" >&2; exit 1; }
[[ -n $killed ]] || { echo "no worker was killed: the sweep was too short" >&2; exit 1; }
workers=$(grep -c '^worker ' "$folder/ray/part-1.log")
((workers >= 2)) || { echo "the part was not started again" >&2; exit 1; }
echo "part 1 was started $workers times"
diff -r "$folder/local" "$folder/ray/all"
echo "same results as one process, byte for byte"
