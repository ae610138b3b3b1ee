//===- Mutator.h - changes to ONNX models -----------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TEST_FUZZ_MUTATOR_H
#define TENON_TEST_FUZZ_MUTATOR_H

#include "onnx/onnx_pb.h"
#include "tools/tenon/Random.h"
#include <cstdint>
#include <string>
#include <vector>

namespace tenon::fuzz {

class Random : public tenon::Random {
public:
  using tenon::Random::Random;
  /// In [0, bound), 0 for a bound of 0.
  size_t below(size_t bound) { return bound ? next() % bound : 0; }
  bool oneIn(size_t n) { return below(n) == 0; }
};

/// Changes models so that they stay models: what is changed is a field of
/// ONNX's messages, and what comes in is mostly taken from other models.
class Mutator {
public:
  /// Learns the operators, attributes and strings of a model.
  void learn(const onnx::ModelProto &model);
  /// Makes one to four changes.
  void mutate(onnx::ModelProto &model, const onnx::ModelProto &other,
              Random &random) const;

private:
  void changeOnce(onnx::ModelProto &model, const onnx::ModelProto &other,
                  Random &random) const;
  void changeNodes(onnx::GraphProto &graph, Random &random) const;
  void changeNode(onnx::GraphProto &graph, Random &random) const;
  void changeAttribute(onnx::NodeProto &node, Random &random) const;
  void splice(onnx::GraphProto &graph, const onnx::GraphProto &other,
              Random &random) const;

  std::vector<onnx::NodeProto> nodes; // one of each operator and arity
  std::vector<onnx::AttributeProto> attributes;
  std::vector<std::string> strings;
};

} // namespace tenon::fuzz

#endif // TENON_TEST_FUZZ_MUTATOR_H
