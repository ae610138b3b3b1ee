#===- batch.py - many small graphs in one artifact -------------------------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""Compiles and runs small graphs together, and judges each by itself.

An artifact and a process cost more than a graph of a few nodes does. So the
graphs of several cases become one model in which nothing joins them: every
name and every symbolic dim gets its case's prefix. Where a batch fails or a
case in it differs, the cases are compiled singly, and the message is that of
the case.
"""

import dataclasses
import itertools
import re

import onnx

from tool import Failure

SIZE = 16  # cases in one artifact


@dataclasses.dataclass
class Graph:
    """A case: its model, the sets of inputs, and who judges the outputs.

    `judge` takes the number of the set, the inputs and the outputs found.
    """

    name: str
    model: onnx.ModelProto
    sets: list
    judge: object


def add_prefix(graph, prefix):
    """Renames whatever a graph and its subgraphs name, dims included."""
    for node in graph.node:
        node.name = node.name and prefix + node.name
        for names in (node.input, node.output):
            names[:] = [name and prefix + name for name in names]
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                add_prefix(inner, prefix)
    for value in (*graph.input, *graph.output, *graph.value_info):
        value.name = prefix + value.name
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:  # a symbol, or a formula of some
                dim.dim_param = re.sub(r"[A-Za-z_]\w*", rf"{prefix}\g<0>", dim.dim_param)
    for tensor in graph.initializer:
        tensor.name = prefix + tensor.name


def joined(models):
    """One model of several; the names of the n-th begin with c<n>_."""
    if len(models) == 1:
        return models[0]
    result = onnx.ModelProto()
    result.CopyFrom(models[0])
    result.graph.Clear()
    result.graph.name = "batch"
    for number, model in enumerate(models):
        graph = onnx.GraphProto()
        graph.CopyFrom(model.graph)
        add_prefix(graph, f"c{number}_")
        result.graph.MergeFrom(onnx.GraphProto(
            node=graph.node, input=graph.input, output=graph.output, initializer=graph.initializer, value_info=graph.value_info))
    return result


def single_runs(tool, artifact, _, feeds):
    """Each set of inputs in a process of its own, with 1, 2 and 3 threads in turn."""
    for number, inputs in enumerate(feeds):
        yield number, tool.run(artifact, inputs, threads=1 + number % 3)


def check_together(tool, graphs, options, runs):
    """What is wrong with each of the graphs, by name; a Failure where no run
    came about."""
    path = tool.file("batch.onnx")
    model = joined([graph.model for graph in graphs])
    onnx.save(model, path)
    artifact, _ = tool.compile(path, *options)
    prefixes = [f"c{i}_" if len(graphs) > 1 else "" for i in range(len(graphs))]
    # A case with few sets sees them again while another has some left.
    pick = lambda graph, number: graph.sets[number % len(graph.sets)]
    feeds = [
        {prefix + name: value for prefix, graph in zip(prefixes, graphs) for name, value in pick(graph, number).items()}
        for number in range(max(len(graph.sets) for graph in graphs))
    ]
    failures = {}
    for number, found in runs(tool, artifact, model, feeds):
        for prefix, graph in zip(prefixes, graphs):
            outputs = {name[len(prefix):]: value for name, value in found.items() if name.startswith(prefix)}
            try:
                if graph.name not in failures:
                    graph.judge(number % len(graph.sets), pick(graph, number), outputs)
            except Failure as failure:
                failures[graph.name] = str(failure)
    return failures


def check_singly(tool, graph, options, runs):
    """What is wrong with a graph alone, or nothing."""
    try:
        return check_together(tool, [graph], options, runs).get(graph.name)
    except Failure as failure:
        return str(failure)


def check_graphs(checks, tool, graphs, *options, size=SIZE, runs=single_runs):
    """Checks those of the graphs that the command line selects.

    `options` are the compiler's; `runs` yields the numbers of the sets and the
    outputs for an artifact, its model and the sets of inputs.
    """
    kind = lambda graph: (graph.model.ir_version, sorted((o.domain, o.version) for o in graph.model.opset_import))
    for _, alike in itertools.groupby(sorted(filter(lambda g: checks.wants(g.name), graphs), key=kind), kind):
        alike = list(alike)
        count = -(-len(alike) // size)
        for number in range(count):
            batch = alike[number::count]
            whole, failures = None, {}
            try:
                failures = check_together(tool, batch, options, runs)
            except Failure as failure:
                whole = str(failure)
            if whole or failures:
                alone = {g.name: check_singly(tool, g, options, runs) for g in batch if whole or g.name in failures}
                together = "with others in one model, not alone: "
                if whole and not any(alone.values()):
                    failures = {batch[0].name: together + whole}
                else:
                    failures = {n: text or together + failures[n] for n, text in alone.items() if text or n in failures}
            for graph in batch:
                checks.record(graph.name, failures.get(graph.name))
