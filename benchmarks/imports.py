"""What importing moa costs, each time in a process of its own: `python benchmarks/imports.py [RUNS]`.

Prints the median seconds of processor time of `import moa`, of diffusers' own pipeline, and of `MoAPipeline` beyond it.
"""

import statistics
import subprocess
import sys

TIMED = "import time; start = time.process_time()\n{}\nprint(time.process_time() - start)"
LINES = {
    "import moa": "import moa",
    "from diffusers import StableDiffusionPipeline": "from diffusers import StableDiffusionPipeline",
    "from moa import MoAPipeline": "from moa import MoAPipeline",
}


def seconds(line: str) -> float:
    """Processor time of one line in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", TIMED.format(line)], check=True, capture_output=True, text=True)
    return float(done.stdout)


def main(runs: int = 5) -> None:
    found = {name: [] for name in LINES}
    for _ in range(runs):  # in turn, so that a slow minute is everybody's
        for name, line in LINES.items():
            found[name].append(seconds(line))
    medians = {name: statistics.median(values) for name, values in found.items()}
    for name, value in medians.items():
        print(f"{value:7.3f} s  {name}")
    _, stock, ours = medians.values()
    print(f"{ours - stock:+7.3f} s  MoAPipeline beyond diffusers' own pipeline, {ours / stock:.2f} times its import")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
