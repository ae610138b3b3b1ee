#!/usr/bin/env python3
#===- pages.py - sequences that share a pool of pages ----------------------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""Paged states: the bits of states whose sequences have memory of their own, with
beginnings that are shared, pages that the caller places, and what is refused.

usage: pages.py [--tenon PATH] [--part N/M] [SUBSTRING...]
"""

import ctypes

import numpy as np
import onnx

from session import HELD, Session
from states import ATTENTION, BATCH, HEADS, INVALID_ARGUMENT, INVALID_STATE, SIZE, STATE_FULL, State, equal, model_of, tokens
from tool import Checks, Failure

CAPACITY, SEQUENCES, PAGES = 96, 5, 9
MODEL = f"""<ir_version: 10, opset_import: ["" : 20]>
paged (float[b,{HEADS},s,{SIZE}] q, float[b,{HEADS},s,{SIZE}] k, float[b,{HEADS},s,{SIZE}] v,
       float[b,{HEADS},p,{SIZE}] past_k, float[b,{HEADS},p,{SIZE}] past_v)
  => (float[b,{HEADS},s,{SIZE}] y, float[b,{HEADS},n,{SIZE}] present_k, float[b,{HEADS},n,{SIZE}] present_v) {{
{ATTENTION}}}"""
PASTS = ("past_k", "past_v")


class PoolInfo(ctypes.Structure):
    """tenon_pool_info."""

    _fields_ = [("size", ctypes.c_size_t)] + [(name, ctypes.c_int64) for name in
                                              ("sequences", "capacity", "pages", "free_pages", "page_rows", "page_bytes")]


class Paged(State):
    """One in a pool."""

    def __init__(self, session, sequences, capacity, pages):
        size, self.session, self.state = ctypes.c_size_t(), session, ctypes.c_void_p()
        self.call("paged_state_size", sequences, capacity, pages, ctypes.byref(size))
        self.memory = np.full(size.value + 64, 0xFF, np.uint8)
        place = -self.memory.ctypes.data % 64
        self.call("init_paged_state", ctypes.c_void_p(self.memory.ctypes.data + place), size, sequences, capacity, pages,
                  ctypes.byref(self.state))

    def try_bind(self, *sequences):
        self.bound = (ctypes.c_int64 * len(sequences))(*sequences)
        return self.session.call("bind_sequences", self.session.context, self.state, self.bound, ctypes.c_int64(len(sequences)))

    def bind(self, *sequences):
        self.session.check(self.try_bind(*sequences))

    def info(self):
        info = PoolInfo(size=ctypes.sizeof(PoolInfo))
        self.call("pool_info", self.state, ctypes.byref(info))
        return info

    def free(self):
        return self.info().free_pages

    def pages(self, sequence):
        pages, count = (ctypes.c_int32 * PAGES)(), ctypes.c_int64()
        self.call("state_pages", self.state, sequence, pages, PAGES, ctypes.byref(count))
        return list(pages[: count.value])

    def place(self, sequence, *pages):
        return self.try_call("set_state_pages", self.state, sequence, (ctypes.c_int32 * len(pages))(*pages), len(pages))


def run(session, at, new, rows=BATCH):
    given = {name: value[:rows] for name, value in tokens(at, new).items() if name in ("q", "k", "v")}
    outputs = {name: port for name, port in session.outputs().items() if name == "y"}
    return session.run(given | dict.fromkeys(PASTS, HELD), outputs)


def refused(session, status, wanted, text):
    if status != wanted or text not in session.error.value.decode():
        raise Failure(f"expected status {wanted} with '{text}', found {status}: {session.error.value.decode()}")


def refused_run(session, at, new, wanted, text):
    try:
        run(session, at, new)
    except Failure as failure:
        if f"status {wanted}:" in str(failure) and text in str(failure):
            return
        raise
    raise Failure(f"expected '{text}' of a run")


def unbind(session):
    """On a GPU that is what brings a state back to where it can be copied."""
    session.check(session.call("bind_state", session.context, None))


def same(tool, path, kv, threads, *options, device=None):
    artifact, _ = tool.compile(path, "-O1", f"--kv={kv}", *options)
    alone, session = Session(artifact, threads, device), Session(artifact, threads, device)
    state, pool = State(alone, CAPACITY), Paged(session, SEQUENCES, CAPACITY, PAGES)
    state.bind()
    pool.bind(3, 1)
    at = 0
    for new in (3, 1, 40, 1, 18, 1):
        equal(run(session, at, new), run(alone, at, new), f"{kv}: {new} tokens behind {at}")
        at += new
    if pool.free() != PAGES - 4 or sorted(pool.pages(3) + pool.pages(1)) != [0, 1, 2, 3] or pool.length(3) != at or pool.length(0):
        raise Failure(f"{at} rows of two sequences: {pool.free()} pages are free, {pool.pages(3)} and {pool.pages(1)} are not")
    # The first 40 rows of both, which nobody copies until somebody writes.
    for to, of in ((0, 3), (4, 1)):
        pool.call("share_state", pool.state, to, of, 40)
    if pool.free() != PAGES - 4 or pool.pages(0) != pool.pages(3):
        raise Failure("sequences that begin alike have other pages")
    other = State(alone, CAPACITY)
    unbind(alone)
    for row in range(BATCH):
        other.call("copy_state", other.state, row, state.state, row, 40)
    other.bind()
    pool.bind(0, 4)
    equal(run(session, 40, 2), run(alone, 40, 2), f"{kv}: behind what is shared")
    if pool.free() != PAGES - 6 or pool.pages(0)[0] != pool.pages(3)[0] or pool.pages(0)[1] == pool.pages(3)[1]:
        raise Failure(f"a page that is written is shared: {pool.pages(0)} and {pool.pages(3)}")
    # Those that it was shared from have all their rows, in a third page each.
    state.bind()
    pool.bind(3, 1)
    equal(run(session, at, 1), run(alone, at, 1), f"{kv}: what was shared from")
    # Back into a page that another has: it keeps its rows.
    for held in (state, pool):
        for row in (0, 1) if held is state else (3, 1):
            held.session.check(held.set_length(20, row))
    equal(run(session, 20, 1), run(alone, 20, 1), f"{kv}: after a roll back")
    other.bind()
    pool.bind(0, 4)
    equal(run(session, 42, 1), run(alone, 42, 1), f"{kv}: beside it")
    # To memory of its own, and back.
    unbind(session)
    for row, sequence in enumerate((0, 4)):
        state.call("copy_state", state.state, row, pool.state, sequence, 43)
        pool.call("copy_state", pool.state, (3, 1)[row], state.state, row, 43)
    state.bind()
    pool.bind(3, 1)
    equal(run(session, 43, 1), run(alone, 43, 1), f"{kv}: copied")
    refusals(session, pool)
    for each in (alone, session):
        each.close()


def refusals(session, pool):
    """Sequences 3 and 1 have 44 rows, 0 and 4 have 43, and 2 gets the last page."""
    last = next(page for page in range(PAGES) if all(page not in pool.pages(row) for row in range(SEQUENCES)))
    session.check(pool.place(2, last))
    lengths, before = [pool.length(row) for row in range(SEQUENCES)], [pool.pages(row) for row in range(SEQUENCES)]
    for pages, text in (((last, last), f"page {last} is used twice, at 0 and 1"),
                        ((PAGES,), f"page {PAGES} at 0, the pool has pages 0..{PAGES - 1}"), ((-1,), "page -1 at 0"),
                        ((before[3][0],), f"page {before[3][0]} at 0 is another sequence's"), (range(4), "4 pages, expected 0..3")):
        refused(session, pool.place(2, *pages), INVALID_STATE, f"sequence 2: {text}")
    refused(session, pool.place(3), INVALID_STATE, "sequence 3: 0 pages, expected 2..3")
    refused(session, pool.place(5), INVALID_ARGUMENT, "sequence 5 does not exist")
    refused(session, pool.try_bind(3, 1, 3), INVALID_ARGUMENT, "sequence 3 is given twice")
    refused(session, pool.try_bind(3, 5), INVALID_ARGUMENT, "sequence 5 does not exist")
    refused(session, pool.try_bind(), INVALID_ARGUMENT, "0 sequences, expected 1")
    pool.bind(3, 2)
    pool.bound[1] = 5  # while it is bound
    refused_run(session, 44, 1, INVALID_ARGUMENT, "sequence 5 does not exist")
    pool.bind(3, 1)
    refused_run(session, 44, 60, STATE_FULL, f"would have 104 rows for each sequence, the state has room for {CAPACITY}")
    refused_run(session, 44, 30, STATE_FULL, f"sequence 3: 74 rows need 1 more pages, the pool of {PAGES} has 0 free")
    if [pool.length(row) for row in range(SEQUENCES)] != lengths or [pool.pages(row) for row in range(SEQUENCES)] != before:
        raise Failure("what is refused has changed something")
    session.check(pool.set_length(0))
    if pool.free() != PAGES:
        raise Failure(f"{pool.free()} of {PAGES} pages are free, when all sequences are empty")


def no_pool(tool, path):
    """Models and states that have none."""
    artifact, _ = tool.compile(path, "-O0")
    session = Session(artifact)
    state, size = State(session, CAPACITY), ctypes.c_size_t()
    refused(session, state.try_call("paged_state_size", 2, 64, 4, ctypes.byref(size)), INVALID_ARGUMENT,
            "input 'past_v' lies in rows, not in pages: compile with --kv")
    rows = (ctypes.c_int64 * 1)(0)
    refused(session, session.call("bind_sequences", session.context, state.state, rows, ctypes.c_int64(1)), INVALID_STATE, "has no pool of pages")
    refused(session, state.try_call("share_state", state.state, 0, 1, 0), INVALID_STATE, "has no pool of pages")
    session.close()


def main():
    checks = Checks(__doc__.splitlines()[0])
    tool = checks.tool()
    path = tool.file("paged.onnx")
    onnx.save(model_of(MODEL), path)
    for kv, threads in (("f32", 1), ("int8", 2)):
        checks.attempt(kv, same, tool, path, kv, threads)
    checks.attempt("no pool", no_pool, tool, path)
    checks.finish()


if __name__ == "__main__":
    main()
