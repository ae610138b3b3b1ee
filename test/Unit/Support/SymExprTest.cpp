//===- SymExprTest.cpp - symbolic dims --------------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "tenon/Support/SymExpr.h"
#include "tenon/Support/Magnitude.h"
#include <cmath>
#include <gtest/gtest.h>
#include <random>

using tenon::SymExpr;
using Fn = SymExpr::Fn;

namespace {

/// The canonical text of any text; "?" where it does not parse.
std::string canonical(std::string_view text) {
  std::optional<SymExpr> e = SymExpr::parse(text);
  return e ? e->str() : "?";
}

SymExpr parsed(std::string_view text) {
  std::optional<SymExpr> e = SymExpr::parse(text);
  EXPECT_TRUE(e) << text;
  return e.value_or(SymExpr(-12345));
}

TEST(SymExpr, PrintsOneForm) {
  EXPECT_EQ(canonical("0"), "0");
  EXPECT_EQ(canonical("-7"), "-7");
  EXPECT_EQ(canonical("seq + past"), "past + seq");
  EXPECT_EQ(canonical("seq*384*batch"), "384*batch*seq");
  EXPECT_EQ(canonical("1*x"), "x");
  EXPECT_EQ(canonical("x - x"), "0");
  EXPECT_EQ(canonical("-x + 1"), "1 - x");
  EXPECT_EQ(canonical("-1 + x"), "x - 1");
  EXPECT_EQ(canonical("-a + b"), "b - a");
  EXPECT_EQ(canonical("-a - 1"), "-a - 1");
  EXPECT_EQ(canonical("(a + b)*(a - b)"), "a*a - b*b");
  EXPECT_EQ(canonical("2*(x + 3) - -x"), "3*x + 6");
  EXPECT_EQ(canonical("min( x , 512 )"), "min(x,512)");
  EXPECT_EQ(canonical("model.encoder:0/seq_len"), "model.encoder:0/seq_len");
}

TEST(SymExpr, RejectsEverythingElse) {
  for (const char *text :
       {"",    " ",   "x +", "+x",       "x x",        "384x",
        "x*",  "(x",  "x)",  "min(x)",   "min(x,y,z)", "foo(x,y)",
        "x%2", "x^2", "1.5", "x,y",      "min",        "99999999999999999999",
        "\n",  "x\n", "é",   "min (x,y", "?"}) {
    if (std::string(text) == "min")
      EXPECT_EQ(canonical(text), "min"); // a symbol may have the name
    else
      EXPECT_EQ(canonical(text), "?") << text;
  }
}

TEST(SymExpr, ParserIsBounded) {
  std::string deep(100000, '(');
  EXPECT_FALSE(SymExpr::parse(deep + "x"));
  EXPECT_FALSE(SymExpr::parse(std::string(100000, '-') + "x"));
  // (a+b+...)^40 would have millions of terms.
  std::string power = "(a+b+c+d+e+f+g)";
  for (int i = 0; i < 40; ++i)
    power += "*(a+b+c+d+e+f+g)";
  EXPECT_FALSE(SymExpr::parse(power));
}

TEST(SymExpr, LongAtomsAreMultiplied) {
  SymExpr sum = SymExpr::symbol("n");
  for (int i = 0; i < 100; ++i)
    sum = sum + SymExpr::symbol("a_long_name_" + std::to_string(i));
  SymExpr a = SymExpr::apply(SymExpr::Fn::FloorDiv, sum, 7);
  SymExpr b = SymExpr::apply(SymExpr::Fn::Mod, sum, 7);
  EXPECT_EQ(SymExpr::parse((a * b).str()), a * b);
}

TEST(SymExpr, SanitizesSymbols) {
  EXPECT_EQ(SymExpr::sanitizeSymbol("batch"), "batch");
  EXPECT_EQ(SymExpr::sanitizeSymbol("past + seq"), "past___seq");
  EXPECT_EQ(SymExpr::sanitizeSymbol("1x"), "_1x");
  EXPECT_EQ(SymExpr::sanitizeSymbol(""), "_");
  EXPECT_EQ(SymExpr::symbol("a(b)").str(), "a_b_");
  EXPECT_EQ(SymExpr::symbol("a(b)").asSymbol(), "a_b_");
}

TEST(SymExpr, SummandsAddUp) {
  auto e = SymExpr::parse("3*n*m - max(k,2) + 7 + n");
  ASSERT_TRUE(e);
  std::vector<SymExpr> parts = e->summands();
  EXPECT_EQ(parts.size(), 4u);
  SymExpr sum(0);
  for (const SymExpr &part : parts) {
    EXPECT_EQ(part.summands().size(), 1u);
    sum = sum + part;
  }
  EXPECT_EQ(sum, *e);
  EXPECT_TRUE(SymExpr(0).summands().empty());
}

TEST(SymExpr, FloorDivision) {
  EXPECT_EQ(canonical("floordiv(7,2)"), "3");
  EXPECT_EQ(canonical("floordiv(-7,2)"), "-4");
  EXPECT_EQ(canonical("floordiv(7,-2)"), "-4");
  EXPECT_EQ(canonical("floordiv(7,0)"), "0");
  EXPECT_EQ(canonical("floordiv(x,1)"), "x");
  EXPECT_EQ(canonical("floordiv(384*x,12)"), "32*x");
  EXPECT_EQ(canonical("floordiv(384*x + 11,12)"), "32*x");
  EXPECT_EQ(canonical("floordiv(384*x + 12,12)"), "32*x + 1");
  EXPECT_EQ(canonical("floordiv(12*x + y,12)"), "floordiv(y,12) + x");
  EXPECT_EQ(canonical("floordiv(x - 1,2) + 1"), "floordiv(x + 1,2)");
  EXPECT_EQ(canonical("ceildiv(x,2)"), "floordiv(x + 1,2)");
  EXPECT_EQ(canonical("ceildiv(4*x,4)"), "x");
  EXPECT_EQ(canonical("ceildiv(x,y)"), "ceildiv(x,y)");
  EXPECT_EQ(canonical("floordiv(4*x + 3,6)"), "floordiv(2*x + 1,3)");
  EXPECT_EQ(canonical("floordiv(floordiv(x,2),2)"), "floordiv(x,4)");
  EXPECT_EQ(canonical("floordiv(floordiv(x + 1,2) + 1,2)"),
            "floordiv(x + 3,4)");
  EXPECT_EQ(canonical("floordiv(a*b*c,b)"), "a*c");
  EXPECT_EQ(canonical("floordiv(64*a*b + 64*a*c,b + c)"), "64*a");
  EXPECT_EQ(canonical("floordiv(x,-3)"), canonical("floordiv(-x,3)"));
}

TEST(SymExpr, Quotient) {
  EXPECT_EQ(canonical("quot(7,2)"), "3");
  EXPECT_EQ(canonical("quot(-7,2)"), "-3");
  EXPECT_EQ(canonical("quot(7,0)"), "0");
  EXPECT_EQ(canonical("quot(x + 3,4)"), "floordiv(x + 3,4)");
  EXPECT_EQ(canonical("quot(x - 1,4)"), "quot(x - 1,4)");
  EXPECT_EQ(canonical("quot(-x - 3,4)"), "-floordiv(x + 3,4)");
  EXPECT_EQ(canonical("quot(quot(x - 9,5),2)"), "quot(x - 9,10)");
  EXPECT_EQ(canonical("quot(12*x - 12*y,4)"), "3*x - 3*y");
  EXPECT_EQ(canonical("quot(x - y,-3)"), canonical("quot(y - x,3)"));
  // Above minus the divisor it is not negative.
  EXPECT_TRUE(SymExpr::parse("quot(x - 3,4)")->isNonNegative());
  EXPECT_FALSE(SymExpr::parse("quot(x - 4,4)")->isNonNegative());
  // One term, however deep lengths nest, and no work that doubles with each.
  EXPECT_EQ(canonical("quot(quot(x - 10,5) - 2,2) + 1"),
            "quot(quot(x - 10,5) - 2,2) + 1");
  SymExpr deep = SymExpr::symbol("x");
  for (int i = 0; i < 100; ++i)
    deep = SymExpr::apply(Fn::Max, SymExpr(0),
                          SymExpr::apply(Fn::Quot, deep - SymExpr(3), 2));
  EXPECT_TRUE(deep.isNonNegative());
  EXPECT_EQ(SymExpr::parse(deep.str()), deep);
}

TEST(SymExpr, Modulo) {
  EXPECT_EQ(canonical("mod(7,3)"), "1");
  EXPECT_EQ(canonical("mod(-7,3)"), "2");
  EXPECT_EQ(canonical("mod(7,-3)"), "-2");
  EXPECT_EQ(canonical("mod(7,0)"), "0");
  EXPECT_EQ(canonical("mod(6*x,3)"), "0");
  EXPECT_EQ(canonical("mod(6*x + 7,3)"), "1");
  EXPECT_EQ(canonical("mod(7*x + y - 1,3)"), "mod(x + y + 2,3)");
  EXPECT_EQ(canonical("mod(a*b,b)"), "0");
}

TEST(SymExpr, MinMax) {
  EXPECT_EQ(canonical("min(3,2)"), "2");
  EXPECT_EQ(canonical("max(x,x)"), "x");
  EXPECT_EQ(canonical("min(x,x + 1)"), "x");
  EXPECT_EQ(canonical("max(seq,past + seq)"), "past + seq");
  EXPECT_EQ(canonical("max(x,0)"), "x");
  EXPECT_EQ(canonical("min(x,0)"), "0");
  EXPECT_EQ(canonical("max(x - 1,0)"), "max(x - 1,0)");
  // Divisions lie between bounds.
  EXPECT_EQ(canonical("max(2*floordiv(x + 3,4) - floordiv(x + 1,2) + 1,0)"),
            "2*floordiv(x + 3,4) - floordiv(x + 1,2) + 1");
  EXPECT_EQ(canonical("max(2*floordiv(x,2) - x,0)"), "0");
  EXPECT_EQ(canonical("max(4*floordiv(x,4) - x + 1,0)"),
            "max(4*floordiv(x,4) - x + 1,0)");
  EXPECT_EQ(canonical("min(x - 3*floordiv(x + 1,3),-1)"), "-1");
  EXPECT_EQ(canonical("max(floordiv(x,1073741825) - y,-1)"),
            "max(floordiv(x,1073741825) - y,-1)");
  EXPECT_EQ(canonical("min(512,x)"), "min(x,512)");
  EXPECT_EQ(canonical("min(min(x,512),256)"), "min(x,256)");
  EXPECT_EQ(canonical("min(y,min(x,y))"), "min(x,y)");
  EXPECT_EQ(canonical("min(a,min(c,b))"), canonical("min(min(b,a),c)"));
}

TEST(SymExpr, Broadcast) {
  EXPECT_EQ(canonical("bcast(x,1)"), "x");
  EXPECT_EQ(canonical("bcast(1,x)"), "x");
  EXPECT_EQ(canonical("bcast(x,x)"), "x");
  EXPECT_EQ(canonical("bcast(7,x)"), "7");
  EXPECT_EQ(canonical("bcast(x,7)"), "7");
  EXPECT_EQ(canonical("bcast(y,x)"), "bcast(x,y)");
  EXPECT_EQ(canonical("bcast(bcast(x,y),x)"), "bcast(x,y)");
}

TEST(SymExpr, DividesExactly) {
  auto divide = [](const char *a, const char *b) {
    std::optional<SymExpr> q = parsed(a).divideExactly(parsed(b));
    return q ? q->str() : "none";
  };
  EXPECT_EQ(divide("384*b*s", "12*s"), "32*b");
  EXPECT_EQ(divide("0", "s"), "0");
  EXPECT_EQ(divide("a*a - b*b", "a + b"), "a - b");
  EXPECT_EQ(divide("a*b + b", "a"), "none");
  EXPECT_EQ(divide("7*a", "2"), "none");
  EXPECT_EQ(divide("a", "0"), "none");
  EXPECT_EQ(divide("a + b", "a - b"), "none");
}

TEST(SymExpr, KnowsWhatIsNotNegative) {
  EXPECT_TRUE(parsed("a*b + 3").isNonNegative());
  EXPECT_TRUE(parsed("floordiv(a,2) + mod(a - b,4)").isNonNegative());
  EXPECT_TRUE(parsed("max(a - 1,0)").isNonNegative());
  EXPECT_FALSE(parsed("a - 1").isNonNegative());
  EXPECT_FALSE(parsed("min(a - 1,b)").isNonNegative());
  EXPECT_FALSE(parsed("floordiv(a - b,2)").isNonNegative());
}

TEST(SymExpr, ElementsAreNotDims) {
  SymExpr e = SymExpr::element("shape", 2);
  EXPECT_EQ(e.str(), "shape[2]");
  EXPECT_EQ(parsed("shape[2] + 1"), e + SymExpr(1));
  EXPECT_EQ(SymExpr::element("a b", 0).str(), "a_b[0]");
  EXPECT_TRUE(SymExpr::isElement(*e.asSymbol()));
  EXPECT_FALSE(SymExpr::isElement("shape"));
  EXPECT_FALSE(e.isNonNegative());
  EXPECT_TRUE(parsed("max(shape[2],0)").isNonNegative());
  EXPECT_TRUE(parsed("2*min(b,shape[2])").hasElements());
  EXPECT_FALSE(parsed("2*min(b,shape)").hasElements());
  EXPECT_EQ(e.substitute({{"shape[2]", SymExpr(3)}}).constant(), 3);
  for (const char *bad : {"a[", "a[]", "a[x]", "a[1", "a[-1]", "[1]", "1[1]",
                          "a[1][2]", "a [1]", "a[99999999999999999999]"})
    EXPECT_FALSE(SymExpr::parse(bad)) << bad;
}

TEST(SymExpr, CountsAreNeverNegative) {
  SymExpr count = SymExpr::element("#a b", 1);
  EXPECT_EQ(count.str(), "#a_b[1]");
  EXPECT_EQ(parsed("2*#a_b[1] + a_b[1]"),
            count * SymExpr(2) + SymExpr::element("a b", 1));
  EXPECT_TRUE(count.isNonNegative());
  EXPECT_TRUE(count.hasElements());
  EXPECT_TRUE(SymExpr::isElement(*count.asSymbol()));
  EXPECT_EQ(parsed("eq(#a[0],-1)").constant(), 0);
  EXPECT_EQ(parsed("max(#a[0],0)").str(), "#a[0]");
  EXPECT_EQ(count.substitute({{"#a_b[1]", SymExpr(3)}}).constant(), 3);
  // An input's name is no count's, whatever it is.
  EXPECT_EQ(SymExpr::sanitizeSymbol("#a"), "__a");
  for (const char *bad :
       {"#a", "#[0]", "# a[0]", "##a[0]", "#1[0]", "#", "a#[0]"})
    EXPECT_FALSE(SymExpr::parse(bad)) << bad;
}

TEST(SymExpr, ComparisonsAreDecidedWhereCertain) {
  EXPECT_EQ(parsed("eq(a + 1,a + 1)").str(), "1");
  EXPECT_EQ(parsed("eq(a + 1,a)").str(), "0");
  EXPECT_EQ(parsed("ne(a + 1,a)").str(), "1");
  EXPECT_EQ(parsed("lt(a,a + b)").str(), "lt(a,a + b)");
  EXPECT_EQ(parsed("le(a,a + b)").str(), "1");
  EXPECT_EQ(parsed("lt(a + b,a)").str(), "0");
  EXPECT_EQ(parsed("le(a + b + 1,b)").str(), "0");
  EXPECT_EQ(parsed("eq(1,x[0])").str(), "eq(x[0],1)");
  EXPECT_EQ(parsed("eq(b,a)").str(), "eq(a,b)");
  EXPECT_EQ(parsed("lt(x[0],0)").str(), "lt(x[0],0)");
  EXPECT_TRUE(parsed("lt(x[0],0)*b").isNonNegative());
}

TEST(SymExpr, SelectTakesThree) {
  EXPECT_EQ(parsed("select(1,a,b)").str(), "a");
  EXPECT_EQ(parsed("select(0,a,b)").str(), "b");
  EXPECT_EQ(parsed("select(x[0],a,a)").str(), "a");
  EXPECT_EQ(parsed("select(lt(x[0],0),1,0)").str(), "lt(x[0],0)");
  SymExpr wrapped = parsed("select(lt(x[0],0),x[0] + n,x[0])");
  EXPECT_EQ(wrapped.str(), "select(lt(x[0],0),n + x[0],x[0])");
  EXPECT_EQ(SymExpr::parse(wrapped.str()), wrapped);
  EXPECT_FALSE(SymExpr::parse("select(a,b)"));
  EXPECT_FALSE(SymExpr::parse("min(a,b,c)"));
  EXPECT_TRUE(parsed("select(x[0],a,max(b - 1,0))").isNonNegative());
  EXPECT_FALSE(parsed("select(x[0],a,b - 1)").isNonNegative());
  auto at = [&](int64_t x) {
    return wrapped.evaluate([&](const std::string &name) {
      return std::optional<int64_t>(name == "n" ? 4 : x);
    });
  };
  EXPECT_EQ(at(-1), 3);
  EXPECT_EQ(at(2), 2);
  std::vector<std::string> symbols;
  wrapped.collectSymbols(symbols);
  EXPECT_EQ(symbols.size(), 2u);
  EXPECT_EQ(wrapped.substitute({{"x[0]", SymExpr(-1)}}).str(), "n - 1");
}

TEST(SymExpr, ComputesWithTheBitsOfDoubles) {
  SymExpr half = SymExpr::floatBits(0.5), dim = SymExpr::symbol("n");
  SymExpr scaled = SymExpr::apply(
      Fn::Floor,
      SymExpr::apply(Fn::FMul, SymExpr::apply(Fn::Float, dim), half));
  EXPECT_EQ(scaled.str(), "floor(fmul(float(n),4602678819172646912))");
  EXPECT_EQ(SymExpr::parse(scaled.str()), scaled);
  auto seven = [](const std::string &) { return std::optional<int64_t>(7); };
  EXPECT_EQ(scaled.evaluate(seven), 3);
  EXPECT_EQ(parsed("ceil(fmul(float(n),4602678819172646912))").evaluate(seven),
            4);
  EXPECT_TRUE(scaled.isNonNegative());
  // 0 times infinity is the least integer.
  for (const SymExpr &by :
       {SymExpr::floatBits(-0.5), SymExpr::floatBits(HUGE_VAL),
        SymExpr::symbol("bits")}) {
    SymExpr product =
        SymExpr::apply(Fn::FMul, SymExpr::apply(Fn::Float, dim), by);
    EXPECT_FALSE(SymExpr::apply(Fn::Floor, product).isNonNegative());
  }
  // A whole multiple of a dim is one.
  SymExpr twice = SymExpr::apply(Fn::FMul, SymExpr::apply(Fn::Float, dim),
                                 SymExpr::floatBits(2));
  EXPECT_EQ(SymExpr::apply(Fn::Trunc, twice).str(), "2*n");
  EXPECT_EQ(parsed("trunc(float(n + 1))").str(), "n + 1");
  // Constants fold; what is no integer is the end of the range.
  auto bits = [](double x) { return SymExpr::floatBits(x); };
  EXPECT_EQ(SymExpr::apply(Fn::FDiv, bits(1), bits(4)), bits(0.25));
  EXPECT_EQ(SymExpr::apply(Fn::F32, bits(0.1)), bits(double(0.1f)));
  EXPECT_EQ(SymExpr::apply(Fn::Floor, bits(-1.5)).constant(), -2);
  EXPECT_EQ(SymExpr::apply(Fn::Trunc, bits(-1.5)).constant(), -1);
  EXPECT_EQ(SymExpr::apply(Fn::Ceil, bits(1e300)).constant(), INT64_MAX);
  EXPECT_EQ(SymExpr::apply(Fn::Floor, bits(NAN)).constant(), INT64_MIN);
  EXPECT_FALSE(SymExpr::parse("floor(a,b)"));
  EXPECT_FALSE(SymExpr::parse("fmul(a)"));
}

TEST(SymExpr, OverflowSaturates) {
  SymExpr big(int64_t(1) << 40);
  EXPECT_EQ((big * big).constant(), INT64_MAX);
  EXPECT_EQ((big * big * SymExpr(-1)).constant(), -INT64_MAX);
  EXPECT_EQ((SymExpr(INT64_MIN) * SymExpr(-1)).constant(), INT64_MAX);
  EXPECT_EQ(SymExpr(INT64_MIN).str(), "-9223372036854775808");
  // Huge coefficients that saturate while dividing end it.
  SymExpr x = SymExpr::symbol("x"), huge = SymExpr(INT64_MAX) * x;
  EXPECT_FALSE((huge + SymExpr(1)).divideExactly(huge - SymExpr(1)));
  EXPECT_EQ(
      SymExpr::apply(Fn::FloorDiv, SymExpr(INT64_MIN), SymExpr(-1)).constant(),
      INT64_MAX);
}

TEST(SymExpr, ReadsTheLowestNumber) {
  EXPECT_EQ(SymExpr::parse(SymExpr(INT64_MIN).str()), SymExpr(INT64_MIN));
  EXPECT_EQ(canonical("max(x[0],-9223372036854775808)"),
            "max(x[0],-9223372036854775808)");
}

TEST(SymExpr, MagnitudeBoundsTheNumber) {
  auto most = [](const char *text) {
    return tenon::magnitude(*SymExpr::parse(text), 1000);
  };
  EXPECT_EQ(most("0"), 0);
  EXPECT_EQ(most("0 - 7"), 7);
  EXPECT_EQ(most("3*n - 7"), 3007);
  // A product of dims is a tensor's size, and so at most 1000 as well.
  EXPECT_EQ(most("3*n*m"), 3000);
  EXPECT_EQ(most("n*max(m,5000)"), 5000);
  EXPECT_EQ(most("mod(n*7,12)"), 12);
  EXPECT_EQ(most("min(n,9223372036854775807) + 1"), 1001);
  EXPECT_EQ(most("floordiv(n,3)"), 1001);
  EXPECT_EQ(most("quot(n - 9,3)"), 1009);
  EXPECT_EQ(most("5*eq(n,3)"), 5);
  EXPECT_EQ(most("select(lt(n,m),n,4000)"), 4000);
  EXPECT_EQ(most("fadd(x,y)"), HUGE_VAL);
}

TEST(SymExpr, SubstitutesAndCollects) {
  SymExpr e = parsed("2*batch*min(seq,512) + past");
  std::vector<std::string> symbols;
  e.collectSymbols(symbols);
  EXPECT_EQ(symbols.size(), 3u);
  EXPECT_EQ(e.substitute({{"seq", SymExpr(128)}, {"past", SymExpr(0)}}).str(),
            "256*batch");
  auto value = [](const std::string &name) -> std::optional<int64_t> {
    if (name == "seq")
      return 600;
    if (name == "batch")
      return 3;
    return std::nullopt;
  };
  EXPECT_EQ(e.evaluate(value), std::nullopt);
  EXPECT_EQ(parsed("2*batch*min(seq,512)").evaluate(value), 3072);
}

TEST(SymExpr, TakesCallsApart) {
  std::optional<SymExpr::Call> call = parsed("min(seq,512)").asCall();
  ASSERT_TRUE(call);
  EXPECT_EQ(call->fn, Fn::Min);
  EXPECT_EQ(call->a.str(), "seq");
  EXPECT_EQ(call->b.constant(), 512);
  EXPECT_FALSE(parsed("2*min(seq,512)").asCall());
  EXPECT_FALSE(parsed("seq").asCall());
  EXPECT_FALSE(parsed("min(seq,512)").asSymbol());
  EXPECT_EQ(SymExpr::operandsOf(Fn::Min, parsed("min(a,min(b,c))")).size(), 3u);
}

TEST(SymExpr, VisitsBottomUp) {
  std::vector<std::string> log;
  auto push = [&](std::string text) {
    log.push_back(std::move(text));
    return int(log.size()) - 1;
  };
  SymExpr::Visitor visitor{[&](int64_t v) { return push(std::to_string(v)); },
                           [&](const std::string &name) { return push(name); },
                           [&](char op, int a, int b) {
                             return push("(" + log[a] + op + log[b] + ")");
                           },
                           [&](Fn, int a, int b) {
                             return push("f(" + log[a] + "," + log[b] + ")");
                           },
                           [&](int c, int a, int b) {
                             return push(log[c] + "?" + log[a] + ":" + log[b]);
                           }};
  int last = parsed("3*a*min(b,2) + 1").visit(visitor);
  EXPECT_EQ(log[last], "(1+((a*f(b,2))*3))");
  last = parsed("select(x[1],a,7)").visit(visitor);
  EXPECT_EQ(log[last], "x[1]?a:7");
}

/// A random text over x, y, z with small constants.
std::string randomText(std::mt19937 &random, int depth) {
  auto pick = [&](int n) { return int(random() % n); };
  if (depth == 0 || pick(5) == 0) {
    static const char *leaves[] = {"x", "y", "z", "1", "2", "3", "0", "12"};
    return leaves[pick(8)];
  }
  std::string a = randomText(random, depth - 1);
  std::string b = randomText(random, depth - 1);
  static const char *functions[] = {"floordiv", "ceildiv", "mod",
                                    "min",      "max",     "quot"};
  switch (pick(4)) {
  case 0:
    return "(" + a + " + " + b + ")";
  case 1:
    return "(" + a + " - " + b + ")";
  case 2:
    return a + "*" + b;
  default:
    return std::string(functions[pick(6)]) + "(" + a + "," + b + ")";
  }
}

/// Computes the text directly, without any simplification.
class Reference {
public:
  Reference(const std::string &text, int64_t x, int64_t y, int64_t z)
      : at(text.c_str()), values{x, y, z} {}
  int64_t sum() {
    int64_t v = product();
    while (at[0] == ' ' && (at[1] == '+' || at[1] == '-')) {
      char op = at[1];
      at += 3;
      int64_t w = product();
      v = op == '+' ? v + w : v - w;
    }
    return v;
  }

private:
  int64_t product() {
    int64_t v = factor();
    while (*at == '*') {
      ++at;
      v *= factor();
    }
    return v;
  }
  int64_t factor() {
    if (*at == '(') {
      ++at;
      int64_t v = sum();
      ++at;
      return v;
    }
    if (*at >= '0' && *at <= '9')
      return strtoll(at, const_cast<char **>(&at), 10);
    if (at[1] < 'a' || at[1] > 'z')
      return values[*at++ - 'x'];
    std::string name;
    while (*at != '(')
      name += *at++;
    ++at;
    int64_t a = sum();
    ++at;
    int64_t b = sum();
    ++at;
    if (name == "min")
      return std::min(a, b);
    if (name == "max")
      return std::max(a, b);
    if (b == 0)
      return 0;
    int64_t floor = a / b - (a % b != 0 && (a < 0) != (b < 0));
    if (name == "floordiv")
      return floor;
    if (name == "mod")
      return a - floor * b;
    if (name == "quot")
      return a / b;
    return -(-a / b - (-a % b != 0 && (-a < 0) != (b < 0)));
  }

  const char *at;
  int64_t values[3];
};

TEST(SymExpr, SimplifiesWithoutChangingValues) {
  std::mt19937 random(20240501);
  for (int round = 0; round < 4000; ++round) {
    std::string text = randomText(random, 4);
    std::optional<SymExpr> e = SymExpr::parse(text);
    ASSERT_TRUE(e) << text;
    // The printed form is a fixed point.
    ASSERT_EQ(canonical(e->str()), e->str()) << text;
    // Zero divides nothing: x*y/y is x for y != 0, so symbols are >= 1 here.
    for (int64_t x : {1, 2, 7})
      for (int64_t y : {1, 3, 12}) {
        int64_t z = x + y;
        auto values = [&](const std::string &name) -> std::optional<int64_t> {
          return name == "x" ? x : name == "y" ? y : z;
        };
        ASSERT_EQ(e->evaluate(values), Reference(text, x, y, z).sum())
            << text << " as " << e->str() << " for x=" << x << " y=" << y;
      }
  }
}

} // namespace
