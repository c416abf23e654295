#!/usr/bin/env python3
"""Kills a training run again and again, and looks whether it ends as if nothing had happened.

One run goes through undisturbed. Another of the same configuration is started on a random number of ranks, and killed at a random
moment: one rank or all of them by SIGKILL, a rank or the launcher by SIGTERM; sometimes its newest checkpoint is then damaged. It is
resumed, on another number of ranks, until it is done or has been killed --kills times, and may then end. Checked:

  * every job ends by itself, in less than --patience seconds after the kill;
  * the last checkpoint has the digests of the undisturbed run's: parameters, tables, optimizer state, places in the data;
  * metrics.jsonl has every step once, with the same losses, and eval.json the same metrics;
  * the best checkpoint is of the same step, with the same digests.

    . launch/mpi_environment.sh; tests/soak/kill_and_resume.py --lime build/cpu/launch/lime --kills 40 --seed 1
"""

import argparse
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

CONFIG = """
data: {{path: {data}, train: 2024-01-01..2024-01-03, eval: 2024-01-04, max_history: 40}}
features: {{history: [item, topic, action, age], candidate: [item, topic], user: [user]}}
embeddings: {{dim: 8, type: {rows}}}
model: {{name: {model}, width: 16, heads: 2, links: 4, blocks: 2, head_hidden: 16, max_positions: 40}}
tasks: [click]
train: {{epochs: 4, batch_requests: 64, micro_batches: 8, learning_rate: 0.002, warmup_steps: 20, clip_norm: 1, log_every: 1,
         checkpoint_every: 25, eval_every: 100, best: click.auc}}
"""


class Job:
    """A process group of its own: the launcher and its ranks."""

    def __init__(self, ranks, command, log):
        launcher = [] if ranks == 1 else [args.mpirun, "-np", str(ranks)]
        self.log = open(log, "ab")
        self.began = time.time()
        self.process = subprocess.Popen(launcher + [args.lime] + command, stdout=self.log, stderr=self.log, start_new_session=True)

    def ranks(self):
        """Process numbers of the ranks that have started."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and os.path.samefile(entry / "exe", args.lime) and self.is_ours(int(entry.name)):
                    found.append(int(entry.name))
            except OSError:
                pass  # gone, or not ours to look at
        return found

    def is_ours(self, process):
        while process > 1:
            if process == self.process.pid:
                return True
            process = int(pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[1])
        return False

    def wait(self, seconds):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            self.log.flush()


def kill(job, how):
    def send(processes, number):
        for process in processes:
            try:
                os.kill(process, number)
            except ProcessLookupError:
                pass

    ranks = job.ranks()
    if how == "one rank":
        send(random.sample(ranks, min(1, len(ranks))), signal.SIGKILL)
    elif how == "all ranks":
        send(ranks, signal.SIGKILL)
    elif how == "everything":
        send(ranks + [job.process.pid], signal.SIGKILL)
    elif how == "SIGTERM to a rank":
        send(random.sample(ranks, min(1, len(ranks))), signal.SIGTERM)
    elif how == "SIGTERM to the launcher":
        send([job.process.pid], signal.SIGTERM)


def wait_for_the_moment(job, run, last_step, total):
    """Some steps further, and a bit, or while the job still starts. Returns its exit code if it ended before."""
    if random.random() < 0.25:
        return job.wait(random.uniform(0, 1.5))
    target = min(last_step + random.randrange(2 * total // args.kills), total)
    while (code := job.wait(0.02)) is None and step_of(run) < target:
        pass
    return job.wait(random.uniform(0, 0.2)) if code is None else code


def damage_newest(run):
    """Turns a bit of a file of the newest checkpoint over, or cuts the file short."""
    checkpoints = sorted((run / "checkpoints").glob("step-?????????"))
    if len(checkpoints) < 2:
        return ""
    file = random.choice(sorted(path for path in checkpoints[-1].rglob("*") if path.is_file() and path.stat().st_size > 0))
    content = bytearray(file.read_bytes())
    if random.random() < 0.5:
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    else:
        del content[random.randrange(len(content)):]
    file.write_bytes(content)
    return f", damaged {file.relative_to(run / 'checkpoints')}"


def steps_and_losses(run):
    lines = [json.loads(line) for line in open(run / "metrics.jsonl")]
    return [(line["step"], line["loss"]) for line in lines if line["kind"] == "train"]


def step_of(run):
    """The last one that metrics.jsonl tells of; 0: none yet."""
    try:
        text = (run / "metrics.jsonl").read_text()
    except OSError:
        return 0
    return int(text.rsplit('"step":', 1)[1].split(",")[0].rstrip("}\n")) if '"step":' in text else 0


def evaluation(run):
    def without_times(value):
        if isinstance(value, dict):
            return {key: without_times(inner) for key, inner in value.items() if key != "seconds"}
        return [without_times(inner) for inner in value] if isinstance(value, list) else value

    return without_times(json.load(open(run / "eval.json")))


def digests(run, checkpoint=""):
    """Of the newest checkpoint, or of the one of that name. Without the line that names the directory."""
    directory = run / "checkpoints" / checkpoint if checkpoint else run
    lines = subprocess.run([args.lime, "inspect", "--digests", str(directory)], check=True, capture_output=True, text=True).stdout
    return lines.replace(str(run), "RUN")


def fail(message):
    print(f"FAILED (seed {args.seed}): {message}; its files: {work}", file=sys.stderr)
    os._exit(1)


def soak(data, model, rows):
    config = work / f"{model}-{rows}.yaml"
    config.write_text(CONFIG.format(data=data, model=model, rows=rows))
    calm, run, log = work / f"{model}-{rows}-calm", work / f"{model}-{rows}", work / f"{model}-{rows}.log"
    began = time.time()
    if Job(2, ["train", str(config), "--out", str(calm)], work / "calm.log").wait(3600) != 0:
        fail("the undisturbed run")
    length = time.time() - began

    kills, last_step, total = 0, 0, steps_and_losses(calm)[-1][0]
    print(f"{model}, rows in {rows}: undisturbed {length:.0f} s", flush=True)
    while True:
        ranks = random.choice([1, 2, 4, 8])
        resumes = run.exists() and (run / "config.yaml").exists()
        if run.exists() and not resumes:
            shutil.rmtree(run)  # killed before it had begun
        command = ["train", "--resume", str(run)] if resumes else ["train", str(config), "--out", str(run)]
        job = Job(ranks, command, log)
        if kills < args.kills:
            code, how = wait_for_the_moment(job, run, last_step, total), "it ended by itself"
            if code is None:
                how = random.choice(["one rank", "all ranks", "everything", "SIGTERM to a rank", "SIGTERM to the launcher"])
                kill(job, how)
                kills += 1
        else:
            code, how = job.wait(600 + 20 * length), "it was left alone"
        killed = time.time()
        while code is None and (code := job.wait(1)) is None:
            if time.time() - killed > args.patience:
                fail(f"job {job.process.pid} on {ranks} ranks ({how}) has not ended after {args.patience} s")
        for deadline in range(100):  # ranks whose launcher was killed
            if not job.ranks():
                break
            time.sleep(0.1)
        else:
            if how == "everything":
                kill(job, "all ranks")
            else:
                fail(f"ranks of job {job.process.pid} ({how}) live on: {job.ranks()}")
        if kills >= args.kills and how == "it was left alone" or how == "it ended by itself":
            if code != 0:
                fail(f"a job that nobody killed ended with {code}: {log}")
            if (run / "eval.json").exists():
                break
        harm = damage_newest(run) if run.exists() and random.random() < 0.25 else ""
        last_step = step_of(run)
        print(f"  {kills:3} {ranks} ranks, {how}: code {code}, ended after {time.time() - killed:.1f} s, step {last_step}{harm}", flush=True)

    if digests(run) != digests(calm):
        fail(f"{run} and {calm} have different digests")
    if steps_and_losses(run) != steps_and_losses(calm):
        fail(f"{run}/metrics.jsonl and {calm}/metrics.jsonl have different steps or losses")
    if evaluation(run) != evaluation(calm):
        fail(f"{run}/eval.json and {calm}/eval.json differ")
    if (run / "best.json").read_text() != (calm / "best.json").read_text():
        fail(f"{run}/best.json and {calm}/best.json differ")
    best = json.loads((run / "best.json").read_text())["checkpoint"]
    if digests(run, best) != digests(calm, best):
        fail(f"{run} and {calm} have different digests of their best checkpoint, {best}")
    print(f"{model}, rows in {rows}: {kills} kills; digests, {len(steps_and_losses(run))} losses and metrics are those of the undisturbed run")


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--lime", required=True, help="the program")
parser.add_argument("--mpirun", default="mpirun")
parser.add_argument("--kills", type=int, default=20, help="of each of the runs")
parser.add_argument("--seed", type=int, default=1, help="of what is killed when; time itself is not repeated")
parser.add_argument("--patience", type=float, default=60, help="seconds that a killed job may take to end")
parser.add_argument("--runs", nargs="+", default=["lime_xor:f32", "hstu:bf16"], metavar="MODEL:TYPE", help="models, with the type of their rows")
args = parser.parse_args()
args.lime = os.path.abspath(args.lime)
random.seed(args.seed)
work = pathlib.Path(tempfile.mkdtemp(prefix="lime-soak-"))
subprocess.run([args.lime, "generate", "--users", "3000", "--days", "4", "--requests", "2", "--parts", "8", "--out", str(work / "data")],
               check=True, stdout=subprocess.DEVNULL)
for choice in args.runs:
    soak(work / "data", *choice.split(":"))
shutil.rmtree(work)
