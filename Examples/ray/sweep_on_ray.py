#!/usr/bin/env python3
"""Runs a sweep as Ray tasks, a part each, and joins them.

    python sweep_on_ray.py SPEC.yaml --output RESULTS [--parts 8] [--address auto]

When a worker dies, Ray starts its task again, and the part goes on where it stopped: every finished configuration is in
its folder. All machines must see the specification and RESULTS under the same paths. STEPCAST names the command.
"""
import argparse
import ctypes
import os
import pathlib
import signal
import subprocess
import sys

import ray


def die_with_parent():
    """The command ends with its worker, so that nobody but the task that is started again writes to the part."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


@ray.remote(max_retries=5, retry_exceptions=True)
def run_part(stepcast, specification, results, part, parts):
    folder = pathlib.Path(results) / f"part-{part}"
    folder.mkdir(parents=True, exist_ok=True)
    log = folder.with_suffix(".log")
    with open(log, "a") as output:
        print(f"worker {os.getpid()}", file=output, flush=True)
        command = [stepcast, "sweep", specification, "--output", str(folder), "--shard", f"{part}/{parts}", "--jobs", "1"]
        status = subprocess.run(
            command, stdout=subprocess.DEVNULL, stderr=output, preexec_fn=die_with_parent
        ).returncode
    # 1: done, and no configuration of this part holds the constraints, which is an answer.
    if status not in (0, 1):
        raise RuntimeError(f"part {part} ended with status {status}: {log.read_text().splitlines()[-1]}")
    return str(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("specification")
    parser.add_argument("--output", required=True, help="folder for the results and, in it, the parts")
    parser.add_argument("--parts", type=int, default=8)
    parser.add_argument("--address", help="of a Ray cluster; without it one is started on this machine")
    options = parser.parse_args()

    stepcast = os.environ.get("STEPCAST", "stepcast")
    specification = os.path.abspath(options.specification)
    results = os.path.abspath(options.output)
    ray.init(address=options.address, include_dashboard=False, logging_level="error")
    folders = ray.get(
        [run_part.remote(stepcast, specification, results, part, options.parts) for part in range(1, options.parts + 1)]
    )
    ray.shutdown()
    return subprocess.run([stepcast, "sweep", "merge", *folders, "--output", results + "/all"]).returncode


if __name__ == "__main__":
    sys.exit(main())
