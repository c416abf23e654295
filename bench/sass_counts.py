#!/usr/bin/env python3
"""What the machine code of kernels says about their speed, without a GPU: counts, not measurements.

  bench/sass_counts.py FILE [KERNEL] [ARCH]

FILE: an object or cubin that nvcc made (build/.../runtime/CMakeFiles/lime_runtime.dir/layer_norm_cuda.cu.o).
KERNEL: a regular expression over the kernels' names as they are written in C++. ARCH: sm_90a. Needs cuobjdump
and c++filt.

For each kernel: registers a thread, the threads that a multiprocessor has at once by them, bytes of local memory,
instructions and those of them that load (LDG, or LD through a pointer that was loaded), store, call a subroutine
(a division's rare cases) or use the special functions (MUFU), by width; then the same of each loop, outermost
first. Branches that are rarely taken are counted like all others.

A device with S multiprocessors of 4 schedulers at f Hz that copies B bytes/s has 4 S f / B instructions for each
byte: on an H100 132 * 4 * 1.755e9 / 3.0e12 = 0.31 of a warp's. To have memory busy, (bytes in flight) / (its
latency) must be the rate at which bytes are read: 3.0e12 * 0.7e-6 / 132 = 16 KB of a multiprocessor that only
reads, half of that in a copy.
"""
import collections
import re
import subprocess
import sys

REGISTERS, THREADS = 65536, 2048  # of a multiprocessor
COUNTED = {"LDG": "load", "LD": "load", "STG": "store", "ST": "store", "LDL": "local", "STL": "local",
           "MUFU": "MUFU", "CALL": "CALL", "SHFL": "SHFL", "BAR": "BAR", "ATOM": "ATOM", "ATOMG": "ATOM",
           "RED": "ATOM"}


def run(*command, text=None):
    try:
        return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        sys.exit(f"{command[0]} is not in PATH")
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(command)}: {error.stderr.strip()}")


def functions(sass):
    """Yields (mangled name, [(address, instruction)])."""
    name, body = None, []
    for line in sass.splitlines():
        if start := re.match(r"\s+Function : (\S+)", line):
            if name:
                yield name, body
            name, body = start.group(1), []
        elif at := re.match(r"\s+/\*([0-9a-f]{4,5})\*/\s+(.*?)\s*;", line):
            text = re.sub(r"^@!?U?P\w+\s+", "", at.group(2))
            if not text.startswith("NOP"):
                body.append((int(at.group(1), 16), text))
    if name:
        yield name, body


def kind(instruction):
    opcode = instruction.split()[0].split(".")
    name = COUNTED.get(opcode[0])
    if name in ("load", "store"):
        return name + next((w for w in ("128", "64", "U16", "S16", "U8", "S8") if w in opcode), "32").lstrip("US")
    return name


def counts(instructions):
    found = collections.Counter(filter(None, map(kind, instructions)))
    return f"{len(instructions):5d} instructions  " + "  ".join(f"{k} {v}" for k, v in sorted(found.items()))


def loops(body):
    """(first address, last) of what a branch goes back over, outermost first; not the stop at the end."""
    found = set()
    for address, text in body:
        target = re.match(r"BRA\S*\s.*?0x([0-9a-f]+)", text)
        if target and int(target.group(1), 16) < address:
            found.add((int(target.group(1), 16), address))
    return sorted(found, key=lambda l: (l[0], -l[1]))


def resources(listing):
    """registers and bytes of stack by mangled name."""
    found, name = {}, None
    for line in listing.splitlines():
        if start := re.match(r" Function (\S+):", line):
            name = start.group(1)
        elif (used := re.search(r"REG:(\d+) STACK:(\d+)", line)) and name:
            found[name] = int(used.group(1)), int(used.group(2))
    return found


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    path, wanted = sys.argv[1], re.compile(sys.argv[2] if len(sys.argv) > 2 else "")
    arch = ["-arch", sys.argv[3] if len(sys.argv) > 3 else "sm_90a"] if path.endswith(".o") else []
    used = resources(run("cuobjdump", "--dump-resource-usage", *arch, path))
    all_functions = list(functions(run("cuobjdump", "-sass", *arch, path)))
    names = run("c++filt", text="\n".join(f[0] for f in all_functions)).splitlines()
    for (mangled, body), name in zip(all_functions, names):
        name = re.sub(r"lime::(cuda::)?|\(anonymous namespace\)::|_GLOBAL__N__\w+::", "", name)
        if not wanted.search(name):
            continue
        registers, stack = used.get(mangled, (0, 0))
        resident = min(THREADS, REGISTERS // max(1, (registers + 7) // 8 * 8) // 256 * 256)  # blocks of 256
        print(f"{name}\n  {registers} registers, {resident} threads, {stack} bytes of local memory")
        print("  all  " + counts([text for _, text in body]))
        for first, last in loops(body):
            print("  loop " + counts([text for at, text in body if first <= at <= last]))


if __name__ == "__main__":
    main()
