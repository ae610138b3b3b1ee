//===- race.cpp - one model on many threads -------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
// Eight threads, a context each, each with eight threads of its own, run one
// model with dims that change; another thread cancels. Built with
// ThreadSanitizer, the runtime included.
//===----------------------------------------------------------------------===//
#include "ToyModel.h"
#include <atomic>
#include <cstdio>
#include <thread>

using namespace toy;

int main() {
  Toy toy;
  std::atomic<int> wrong{0}, cancelled{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&, t] {
      auto options = threadOptions(8);
      Scoped context(&toy.model, &options);
      std::atomic<bool> over{false};
      std::thread other([&] {
        while (t == 0 && !over)
          tenon_cancel(context, nullptr);
      });
      for (int turn = 0; turn < 40; ++turn) {
        int64_t batch = 1 + (t + turn) % 5, seq = 1 + (turn * 37) % 300;
        Tensors x(batch, seq);
        tenon_reserve(context, x.inputDims, nullptr);
        x.bind(context, nullptr);
        tenon_status status = tenon_run(context, nullptr);
        if (status == TENON_CANCELLED && t == 0)
          ++cancelled;
        else if (status || x.out != toy.expected(x.ids, x.mask, batch, seq))
          ++wrong;
      }
      over = true;
      other.join();
    });
  for (std::thread &thread : threads)
    thread.join();
  std::printf("%d wrong, %s cancelled\n", wrong.load(),
              cancelled ? "some" : "none");
}
