//===- Operators.cpp - tenon operators ------------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Commands.h"
#include "tenon/Import/OnnxImporter.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;

namespace tenon {

static cl::SubCommand command("operators", "List the operators that compile");

static cl::opt<bool> asJson("json", cl::desc("Print JSON"), cl::sub(command));

int operatorsMain() {
  std::vector<OperatorVersions> operators = listOperators();
  if (!asJson) {
    outs()
        << "domain, operator, first opset of each form (opsets of ai.onnx: 1 "
           "to "
        << newestOpset() << ")\n";
    for (const OperatorVersions &o : operators) {
      outs() << o.domain << " " << o.op << " ";
      interleave(o.since, outs(), ",");
      outs() << "\n";
    }
    outs() << "Others compile where ONNX defines them by a function.\n";
    return 0;
  }
  json::OStream out(outs(), 2);
  out.object([&] {
    out.attribute("newest_opset", newestOpset());
    out.attributeArray("operators", [&] {
      for (const OperatorVersions &o : operators)
        out.object([&] {
          out.attribute("domain", o.domain);
          out.attribute("operator", o.op);
          out.attributeArray("since", [&] {
            for (int64_t version : o.since)
              out.value(version);
          });
        });
    });
  });
  outs() << "\n";
  return 0;
}

} // namespace tenon
