//===- InputValues.cpp - inputs whose value is fixed ----------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Import/Onnx/Node/InputValues.h"
#include "dialects/Tenon/IR/Ops/Check.h"
#include "dialects/Tenon/IR/Ops/Constant.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Support/DebugStringHelper.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include <set>

using namespace mlir;

namespace tenon::onnximport {

/// Each element is compared at entry, and named there.
static constexpr int64_t maxElements = 64;

/// A number as an attribute of the type, and as a run reads it (a bool as 0 or
/// 1, a float as the bits of a double); null where the type has no such value.
static Attribute parseNumber(StringRef text, Type type, int64_t &asRead) {
  if (text == "true" || text == "false")
    text = text == "true" ? "1" : "0";
  if (auto floating = dyn_cast<FloatType>(type)) {
    double number;
    if (text.getAsDouble(number))
      return {};
    APFloat value(number);
    bool lost;
    value.convert(floating.getFloatSemantics(), APFloat::rmNearestTiesToEven,
                  &lost);
    if (!value.isFinite())
      return {};
    auto attr = FloatAttr::get(type, value);
    value.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &lost);
    asRead = value.bitcastToAPInt().getSExtValue();
    return attr;
  }
  auto integer = cast<IntegerType>(type);
  unsigned width = integer.getWidth();
  if (text.getAsInteger(10, asRead))
    return {};
  bool fits = width == 1 ? asRead == 0 || asRead == 1
              : integer.isUnsigned()
                  ? asRead >= 0 && (width == 64 || asRead >> width == 0)
                  : llvm::isIntN(width, asRead);
  if (!fits)
    return {};
  return IntegerAttr::get(type, APInt(width, uint64_t(asRead),
                                      /*isSigned=*/!integer.isUnsigned(),
                                      /*implicitTrunc=*/true));
}

Value fixInput(ImportState &state, Value input, StringRef name,
               ArrayRef<std::string> numbers, std::string &problem) {
  auto fail = [&](const Twine &message) -> Value {
    problem = ("--value: input '" + name + "' " + message).str();
    return nullptr;
  };
  auto type = cast<RankedTensorType>(input.getType());
  if (!type.hasStaticShape())
    return fail("has dims that only a run knows: fix them with --dim, found " +
                debugString(type));
  int64_t count = type.getNumElements();
  if (count > maxElements || !hasReadableElements(type))
    return fail("cannot be fixed: expected at most " + Twine(maxElements) +
                " numbers or bools, found " + debugString(type));
  if (numbers.size() != 1 && int64_t(numbers.size()) != count)
    return fail("has " + Twine(count) + " elements, found " +
                Twine(numbers.size()) + " numbers");
  SmallVector<Attribute> elements;
  SmallVector<int64_t> asRead;
  for (StringRef text : numbers) {
    Attribute number =
        parseNumber(text, type.getElementType(), asRead.emplace_back());
    if (!number)
      return fail("has elements of type " + debugString(type.getElementType()) +
                  ", and '" + text + "' is none");
    elements.push_back(number);
  }
  Location loc = NameLoc::get(state.builder.getStringAttr("--value " + name),
                              input.getLoc());
  std::optional<KnownValue> read = state.known.read(input, "");
  if (!read)
    return fail("cannot be read");
  for (auto [i, element] : llvm::enumerate(read->elements))
    CheckOp::create(state.builder, loc, CheckKind::eq, element.str(),
                    SymExpr(asRead[asRead.size() == 1 ? 0 : i]).str());
  auto value = count ? DenseElementsAttr::get(type, elements)
                     : DenseElementsAttr::get(type, ArrayRef<Attribute>());
  return ConstantOp::create(state.builder, input.getLoc(), value);
}

std::string whatSettles(ImportState &state, const SymExpr &e) {
  Operation *op = state.builder.getInsertionBlock()->getParentOp();
  auto main = dyn_cast_or_null<func::FuncOp>(op);
  if (!main && op)
    main = op->getParentOfType<func::FuncOp>();
  if (!main)
    return "";
  std::set<std::string> dims, inputs;
  for (auto [i, type] : llvm::enumerate(main.getFunctionType().getInputs())) {
    for (const SymExpr &dim : getDims(main.getArgument(i))) {
      std::vector<std::string> used;
      dim.collectSymbols(used);
      dims.insert(used.begin(), used.end());
    }
    if (auto name = main.getArgAttrOfType<StringAttr>(i, "tenon.name"))
      inputs.insert(name.getValue().str());
  }
  std::vector<std::string> symbols;
  e.collectSymbols(symbols);
  SmallVector<std::string> settings;
  for (const std::string &symbol : symbols) {
    std::string base = symbol.substr(0, symbol.find('['));
    auto input = llvm::find_if(inputs, [&](const std::string &name) {
      return SymExpr::sanitizeSymbol(name) == base;
    });
    std::string setting;
    if (base == symbol && dims.count(symbol))
      setting = "--dim " + symbol + "=N";
    else if (base != symbol && input != inputs.end())
      setting = "--value " + *input + "=NUMBER";
    else
      return "";
    if (!llvm::is_contained(settings, setting))
      settings.push_back(setting);
  }
  if (settings.empty())
    return "";
  return " (" + llvm::join(settings, " and ") + " would settle it)";
}

} // namespace tenon::onnximport
