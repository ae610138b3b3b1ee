#===- variants.py - the same model, spelt differently ----------------------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""Rewrites a model without changing what it computes.

A compiler that recovers attention, norms or GELU must not look at names or at
the order in which an exporter happened to write the nodes. The variant renames
every node and every inner value and draws another topological order; inputs
and outputs keep their names, which are the interface.
"""

import random

import onnx


def used_names(graph):
    """Names that a node's subgraphs take from outside, conservatively all."""
    names = set()
    for node in graph.node:
        names.update(node.input)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                names |= used_names(attribute.g)
    names.update(value.name for value in graph.output)
    return names


def rename_values(graph, mapping):
    """Apply `mapping` to all values of a graph, its subgraphs included."""
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = mapping.get(name, name)
        for index, name in enumerate(node.output):
            node.output[index] = mapping.get(name, name)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                rename_values(attribute.g, mapping)
    for value in (*graph.output, *graph.value_info, *graph.initializer):
        value.name = mapping.get(value.name, value.name)


def shuffled_order(graph, rng):
    """A random topological order of the graph's nodes."""
    producer = {out: k for k, node in enumerate(graph.node) for out in node.output if out}
    needs = []
    for node in graph.node:
        names = set(node.input)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                names |= used_names(attribute.g)
        needs.append({producer[name] for name in names if name in producer})
    ready = [k for k, need in enumerate(needs) if not need]
    users = [[] for _ in needs]
    for k, need in enumerate(needs):
        for other in need:
            users[other].append(k)
    order = []
    while ready:
        k = ready.pop(rng.randrange(len(ready)))
        order.append(k)
        for user in users[k]:
            needs[user].discard(k)
            if not needs[user]:
                ready.append(user)
    assert len(order) == len(graph.node), "the graph has a cycle"
    return order


def rename_and_shuffle(source, target, seed=1):
    """Write the renamed, shuffled variant of the model file `source`."""
    rng = random.Random(seed)
    model = onnx.load(source)
    graph = model.graph
    keep = {value.name for value in (*graph.input, *graph.output)} | {""}
    inner = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        inner.update(node.output)
    inner -= keep
    numbers = list(range(len(inner)))
    rng.shuffle(numbers)
    rename_values(graph, {name: f"v{number}" for name, number in zip(sorted(inner), numbers)})
    numbers = list(range(len(graph.node)))
    rng.shuffle(numbers)
    for node, number in zip(graph.node, numbers):
        node.name = f"n{number}"
    nodes = [graph.node[k] for k in shuffled_order(graph, rng)]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
    initializers = list(graph.initializer)
    rng.shuffle(initializers)
    copies = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in initializers]
    del graph.initializer[:]
    graph.initializer.extend(copies)
    del graph.value_info[:]  # inferred again
    onnx.save(model, target)
