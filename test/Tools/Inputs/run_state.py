# ===- run_state.py - tenon run with a state in a file --------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""run_state.py ARTIFACT [positions] [LAST]: two sequences, in pieces, in this folder.

Each piece is a process. Its logits must have the bits of one run with all
tokens, in a file of its own. ARTIFACT.state stays, and kept.state is what
before.state was before a run that was refused. LAST, of --outputs=last, must
have the last row's bits of each piece."""

import shutil
import subprocess
import sys

import numpy as np

ARTIFACT, WITH_POSITIONS = sys.argv[1], "positions" in sys.argv[2:]
LAST = [name for name in sys.argv[2:] if name != "positions"]
IDS = np.random.default_rng(1).integers(0, 100, (2, 12))


def run(state, begin, end, folder, check=True, artifact=ARTIFACT):
    np.save("ids.npy", IDS[:, begin:end])
    np.save("mask.npy", np.ones((2, end), np.int64))
    np.save("positions.npy", np.broadcast_to(np.arange(begin, end), (2, end - begin)).copy())
    np.save("past.npy", np.zeros((2, 2, 0, 16), np.float32))
    command = ["tenon", "run", artifact, "--state", state, "--capacity", "64", "--output-dir", folder,
               "--input", "input_ids=ids.npy", "--input", "attention_mask=mask.npy"]
    if WITH_POSITIONS:
        command += ["--input", "position_ids=positions.npy"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if check and done.returncode:
        sys.exit(done.stderr)
    return done.stderr if done.returncode else np.load(f"{folder}/logits.npy")


def main():
    whole = run(f"{ARTIFACT}.whole", 0, 12, "whole")
    kept, ends = f"{ARTIFACT}.state", (5, 6, 7, 12)
    for begin, end in zip((0, *ends), ends):
        if run(kept, begin, end, "piece").tobytes() != whole[:, begin:end].tobytes():
            sys.exit(f"tokens {begin} to {end} have other bits")
        for artifact in LAST:
            if run(f"{artifact}.state", begin, end, "last", artifact=artifact).tobytes() != whole[:, end - 1 : end].tobytes():
                sys.exit(f"{artifact}: the last of tokens {begin} to {end} has other bits")
    shutil.copy(kept, "kept.state")
    shutil.copy(kept, "before.state")
    IDS[0, 0] = 1 << 40  # no token
    if "error" not in run("kept.state", 0, 1, "refused", check=False):
        sys.exit("a refused run ended well")
    print(f"{len(ends)} pieces have the bits of the whole")


main()
