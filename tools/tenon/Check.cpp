//===- Check.cpp - tenon check --------------------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Runs the stages that can refuse a model, and names all that the importer
// refuses: nodes of one operator and reason together. Of a model that compiles
// it names what is predicted to be slow.
//
//===----------------------------------------------------------------------===//
#include "Commands.h"
#include "tenon/Pipelines/Pipelines.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;

namespace tenon {

static cl::SubCommand command("check", "Say whether a model will compile");

static cl::opt<std::string> path(cl::Positional, cl::Required,
                                 cl::desc("MODEL.onnx"), cl::sub(command));
static cl::list<std::string>
    dims("dim", cl::value_desc("name=N|lo..hi"),
         cl::desc("Fix a named dim or declare its range"), cl::sub(command));
static cl::list<std::string> values("value", cl::value_desc("input=number,..."),
                                    cl::desc("Fix an input's value"),
                                    cl::sub(command));
static cl::opt<bool> json("json", cl::desc("Print JSON"), cl::sub(command));

namespace {
/// Nodes that one reason keeps from compiling.
using Group = std::vector<const UnsupportedNode *>;
} // namespace

/// What is certain comes first.
static std::vector<Group> grouped(const std::vector<UnsupportedNode> &nodes) {
  std::vector<Group> groups;
  for (bool certain : {true, false})
    for (const UnsupportedNode &node : nodes) {
      if (node.certain != certain)
        continue;
      auto alike = find_if(groups, [&](const Group &group) {
        const UnsupportedNode &first = *group.front();
        return !first.op.empty() && first.op == node.op &&
               first.domain == node.domain && first.reason == node.reason &&
               first.certain == certain;
      });
      if (alike == groups.end())
        groups.push_back({&node});
      else
        alike->push_back(&node);
    }
  return groups;
}

static void printText(const std::vector<Group> &groups, const Twine &error) {
  size_t count = 0;
  for (const Group &group : groups)
    for (const UnsupportedNode *node : group) {
      errs() << "tenon check: error: " << path << ": " << describe(*node)
             << (node->certain ? "" : " (after another unsupported node)")
             << "\n";
      ++count;
    }
  if (count == 0)
    errs() << "tenon check: error: " << error << "\n";
  if (count < 2)
    return;
  // An operator that several reasons refuse counts once.
  std::vector<std::pair<std::string, size_t>> byOperator;
  for (const Group &group : groups) {
    const UnsupportedNode &first = *group.front();
    std::string name = !first.file.empty() ? "file of weights"
                       : first.op.empty()  ? "input"
                                           : first.domain + "::" + first.op;
    auto it = find_if(byOperator, [&](auto &own) { return own.first == name; });
    if (it == byOperator.end())
      it = byOperator.insert(it, {name, 0});
    it->second += group.size();
  }
  errs() << "tenon check: " << count << " in all: ";
  ListSeparator separator;
  for (const auto &[name, number] : byOperator)
    errs() << separator << number << " " << name;
  errs() << "\n";
}

static void printJson(const std::vector<Group> &groups,
                      const CompileResult &result) {
  json::OStream out(outs(), 2);
  out.object([&] {
    out.attribute("model", json::fixUTF8(path));
    out.attribute("compiles", result.ok);
    if (!result.ok)
      out.attribute("error", json::fixUTF8(result.error));
    out.attributeArray("unsupported", [&] {
      for (const Group &group : groups)
        out.object([&] {
          const UnsupportedNode &first = *group.front();
          if (!first.op.empty()) {
            out.attribute("domain", json::fixUTF8(first.domain));
            out.attribute("operator", json::fixUTF8(first.op));
            out.attribute("opset", first.opset);
          }
          out.attribute("reason", json::fixUTF8(first.reason));
          out.attribute("certain", first.certain);
          const char *kind = !first.file.empty() ? "files"
                             : first.op.empty()  ? "inputs"
                                                 : "nodes";
          out.attributeArray(kind, [&] {
            for (const UnsupportedNode *node : group)
              out.value(json::fixUTF8(!node->file.empty()  ? node->file
                                      : node->name.empty() ? node->output
                                                           : node->name));
          });
        });
    });
    out.attributeArray("notes", [&] {
      for (const std::string &note : result.notes)
        out.value(json::fixUTF8(note));
    });
    out.attributeArray("slow", [&] {
      for (const std::string &work : result.slow)
        out.value(json::fixUTF8(work));
    });
  });
  outs() << "\n";
}

int checkMain() {
  std::vector<UnsupportedNode> unsupported;
  CompileOptions options;
  options.input = path;
  options.targets = defaultTargets();
  options.checkOnly = true;
  options.import.unsupported = &unsupported;
  if (Error problem = parseSettings(dims, values, options.import))
    return reportError("check", std::move(problem));
  CompileResult result = compileModel(options);
  std::vector<Group> groups = grouped(unsupported);
  if (json)
    printJson(groups, result);
  else if (!result.ok)
    printText(groups, result.error);
  else
    outs() << path << " will compile\n";
  if (result.ok && !json) {
    for (const std::string &note : result.notes)
      errs() << "tenon check: note: " << note << "\n";
    for (const std::string &work : result.slow)
      errs() << "tenon check: note: " << work << "\n";
  }
  return result.ok ? 0 : result.internal ? 70 : 1;
}

} // namespace tenon
