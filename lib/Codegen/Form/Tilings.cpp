//===- Tilings.cpp - the tilings of a model's kernels as text -------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "tenon/Codegen/Tilings.h"
#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "dialects/Tenon/IR/TenonKernel.h"
#include "dialects/Tenon/IR/TenonPanels.h"
#include "dialects/Tenon/IR/TenonReduce.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "mlir/AsmParser/AsmParser.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/LineIterator.h"
#include "llvm/Support/MemoryBuffer.h"

using namespace mlir;

namespace tenon {

/// "?x384"; "scalar" for none.
static std::string sizesOf(ArrayRef<SymExpr> dims) {
  if (dims.empty())
    return "scalar";
  return llvm::join(llvm::map_range(dims,
                                    [](const SymExpr &dim) {
                                      auto size = dim.constant();
                                      return size ? std::to_string(*size)
                                                  : std::string("?");
                                    }),
                    "x");
}

std::string describeKernel(KernelOp kernel) {
  Block &body = kernel.getBody().front();
  std::string what = findWinograd(kernel)
                         ? "winograd" // beside direct sums of its sizes
                         : stringifyKernelKind(kernel.getKind()).str();
  Value of = body.getTerminator()->getOperand(0);
  SmallVector<SymExpr> dims = getDims(of);
  SmallVector<PackedMatMulOp> products(body.getOps<PackedMatMulOp>());
  if (auto reduce = dyn_cast_or_null<ReduceOp>(kernel.getRoot());
      reduce && kernel.getKind() == KernelKind::map) {
    what = "reduce";
    of = reduce.getInput();
    dims = getDims(of);
  } else if (!products.empty()) {
    of = products.front().getLhs();
    SmallVector<SymExpr> from = getDims(of),
                         to = getDims(products.front().getResult());
    SmallVector<SymExpr> all(to.begin(), to.end() - 1);
    dims = {productOf(all), from.back(), to.back()};
    if (products.size() > 1) // rows of one batch
      dims = {to.end()[-2], from.back(), to.back(),
              getDims(products.back().getResult()).back()};
  }
  std::string type;
  llvm::raw_string_ostream os(type);
  os << getElementTypeOrSelf(of.getType());
  if (!products.empty())
    if (FormatAttr format = products.front().getFormatAttr())
      os << '-' << format.getElement();
  return what + " " + type + " " + sizesOf(dims);
}

std::vector<KernelTiling> listTilings(ModuleOp graph) {
  std::vector<KernelTiling> all;
  graph.walk<WalkOrder::PreOrder>([&](KernelOp kernel) {
    KernelTiling &entry = all.emplace_back();
    entry.kernel = describeKernel(kernel);
    if (Attribute tiling = kernel.getTilingAttr()) {
      llvm::raw_string_ostream os(entry.tiling);
      os << tiling;
    }
  });
  return all;
}

void printTilings(ArrayRef<KernelTiling> tilings, raw_ostream &os) {
  llvm::StringSet<> written;
  for (const KernelTiling &t : tilings)
    if (!t.tiling.empty() && written.insert(t.kernel).second)
      os << t.kernel << " = " << t.tiling << "\n";
}

/// Does each part of the pattern equal the text's, or is it `*`?
static bool matches(StringRef pattern, StringRef text, StringRef separators) {
  if (pattern == "*" || pattern == text)
    return true;
  if (separators.empty())
    return false;
  SmallVector<StringRef> of, found;
  pattern.split(of, separators.front(), -1, /*KeepEmpty=*/false);
  text.split(found, separators.front(), -1, /*KeepEmpty=*/false);
  return of.size() == found.size() &&
         llvm::all_of(llvm::zip_equal(of, found), [&](auto pair) {
           return matches(std::get<0>(pair), std::get<1>(pair),
                          separators.drop_front());
         });
}

FailureOr<TilingFile> TilingFile::read(MLIRContext *context, StringRef path) {
  auto buffer = llvm::MemoryBuffer::getFile(path, /*IsText=*/true);
  if (!buffer)
    return emitError(UnknownLoc::get(context), "cannot read '")
           << path << "': " << buffer.getError().message();
  TilingFile file;
  for (llvm::line_iterator it(**buffer, /*SkipBlanks=*/true); !it.is_at_eof();
       ++it) {
    StringRef text = it->split("//").first.trim();
    if (text.empty())
      continue;
    Location at = FileLineColLoc::get(context, path, it.line_number(), 1);
    auto error = [&] { return emitError(at); };
    auto [pattern, attribute] = text.split('=');
    pattern = pattern.trim();
    SmallVector<StringRef> words;
    pattern.split(words, ' ', -1, /*KeepEmpty=*/false);
    if (words.size() != 3)
      return error()
             << "expected a kernel's kind, element type and dims before "
                "'=', found '"
             << pattern << "'";
    // What the parser says names a place in the attribute's text alone.
    std::string message;
    Attribute parsed;
    {
      ScopedDiagnosticHandler quiet(context, [&](Diagnostic &d) {
        if (message.empty())
          message = d.str();
      });
      parsed = parseAttribute(attribute.trim(), context);
    }
    auto tiling = dyn_cast_or_null<TilingInterface>(parsed);
    if (!tiling)
      return error() << "expected a tiling, found '" << attribute.trim() << "'"
                     << (message.empty() ? "" : ": ") << message;
    file.lines.push_back({at, pattern.str(), tiling});
  }
  return file;
}

FailureOr<TilingInterface> TilingFile::find(KernelOp kernel, StringRef family) {
  std::string text = describeKernel(kernel);
  for (Line &line : lines) {
    if (line.tiling.getFamily() != family || !matches(line.pattern, text, " x"))
      continue;
    line.used = true;
    std::string message;
    LogicalResult fits = success();
    {
      ScopedDiagnosticHandler quiet(kernel.getContext(),
                                    [&](Diagnostic &d) { message = d.str(); });
      fits = line.tiling.verifyFor(kernel);
    }
    if (succeeded(fits))
      return line.tiling;
    return emitError(line.at) << "'" << text << "': " << message;
  }
  return TilingInterface();
}

void TilingFile::warnOfUnused(StringRef family) const {
  for (const Line &line : lines) {
    auto at = cast<FileLineColLoc>(line.at);
    if (!line.used && line.tiling.getFamily() == family)
      emitWarning(line.at) << at.getFilename().getValue() << ":" << at.getLine()
                           << ": no kernel matches '" << line.pattern << "'";
  }
}

} // namespace tenon
