//===- host.cpp - compiles and runs many small cases ----------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// usage: host [-j N] [-O LEVEL] [-t CPU-SECONDS] [-c 0|1] TARGET LIST
//
// LIST names one directory per line, each with a model (model.onnx) and, for
// each run n from 0 on, lines of tab-separated fields (inputs<n>: name, ONNX
// dtype number, dims, file). The model is compiled for TARGET to model.so beside
// it, opened with the C API and run with each; output i goes to
// output<n>.<i>.bin, its dtype and dims to the report. One line per case comes
// out, as the cases finish:
//
//   DIRECTORY <tab> OUTCOME <tab> MILLISECONDS <tab> DETAIL
//
// OUTCOME is ok (DETAIL: dtype:d0,d1;... per output, runs apart by '|', then
// " folded" where -c 1 asks and all results are constants), refused (a
// diagnostic while compiling), failed (an error of the C API, or a check that
// accepts what is then refused), internal (a crash that the compiler caught),
// crash (a signal) or hang. Each case runs in a process of its own, forked from
// one that has everything loaded: that costs a millisecond.
//
//===----------------------------------------------------------------------===//

#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Pass/PassManager.h"
#include "tenon/Pipelines/Pipelines.h"
#include "tenon/tenon.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"
#include <chrono>
#include <csignal>
#include <map>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace llvm;
using Clock = std::chrono::steady_clock;

namespace {

struct Settings {
  int jobs = 2, optLevel = 1, seconds = 60, seeFolded = 0;
  std::string target;
};

struct Outcome {
  std::string kind, detail;
};

Outcome failed(const char *what, const tenon_error &error) {
  return {"failed", (Twine(what) + ": " + error.message).str()};
}

size_t tensorBytes(tenon_dtype dtype, ArrayRef<int64_t> dims) {
  size_t count = 1;
  for (int64_t dim : dims)
    count *= dim;
  return tenon_tensor_bytes(dtype, count);
}

struct Tensor {
  tenon_dtype dtype = TENON_F32;
  std::vector<int64_t> dims;
  std::unique_ptr<MemoryBuffer> file;
  std::unique_ptr<char[]> copy; // aligned as operator new aligns
  size_t bytes = 0;
};

bool readInput(StringRef directory, ArrayRef<StringRef> fields,
               Tensor &tensor) {
  int dtype;
  if (fields.size() != 4 || fields[1].getAsInteger(10, dtype))
    return false;
  tensor.dtype = tenon_dtype(dtype);
  SmallVector<StringRef> dims;
  fields[2].split(dims, ',', -1, /*KeepEmpty=*/false);
  for (StringRef text : dims) {
    int64_t dim;
    if (text.getAsInteger(10, dim))
      return false;
    tensor.dims.push_back(dim);
  }
  auto file = MemoryBuffer::getFile(directory + "/" + fields[3], false, false);
  if (!file)
    return false;
  tensor.bytes = (*file)->getBufferSize();
  tensor.copy.reset(new char[tensor.bytes + 1]);
  memcpy(tensor.copy.get(), (*file)->getBufferStart(), tensor.bytes);
  return true;
}

bool writeFile(const Twine &path, const char *data, size_t bytes) {
  std::error_code code;
  raw_fd_ostream os(path.str(), code);
  if (code)
    return false;
  os.write(data, bytes);
  return true;
}

/// One run with the inputs that `list` names.
/// Long: its steps share what they bind, and each has a failure of its own.
Outcome runOnce(const tenon_library &library, tenon_context *context,
                StringRef directory, const MemoryBuffer &list, int number) {
  tenon_error error = {};
  tenon_model_info info;
  TENON_INIT(info);
  if (tenon_get_model_info(library.model, &info, &error))
    return failed("model_info", error);
  SmallVector<StringRef> lines;
  list.getBuffer().split(lines, '\n', -1, /*KeepEmpty=*/false);
  std::vector<Tensor> inputs(info.num_inputs);
  std::vector<const int64_t *> dims(info.num_inputs);
  for (StringRef line : lines) {
    SmallVector<StringRef> fields;
    line.split(fields, '\t');
    int32_t index;
    if (tenon_find_input(library.model, fields[0].str().c_str(), &index,
                         &error))
      return failed("find_input", error);
    Tensor &input = inputs[index];
    if (!readInput(directory, fields, input))
      return {"failed", ("cannot read the input of line: " + line).str()};
    dims[index] = input.dims.data();
    if (tenon_bind_input(context, index, input.dtype, input.dims.size(),
                         input.dims.data(), input.copy.get(), input.bytes,
                         &error))
      return failed("bind_input", error);
  }
  std::vector<Tensor> outputs(info.num_outputs);
  std::vector<bool> fromData(info.num_outputs);
  const char *step = "";
  auto makeRoom = [&]() -> tenon_status {
    step = "reserve";
    if (tenon_status status = tenon_reserve(context, dims.data(), &error))
      return status;
    for (auto [index, output] : enumerate(outputs)) {
      tenon_port_info port;
      TENON_INIT(port);
      step = "output_info";
      if (tenon_status status =
              tenon_get_output_info(library.model, index, &port, &error))
        return status;
      output.dtype = port.dtype;
      output.dims.resize(port.rank);
      fromData[index] = port.dims_kind == TENON_DIMS_FROM_DATA;
      step = "output_dims";
      if (tenon_status status = tenon_output_dims(
              context, dims.data(), index, output.dims.data(), &error))
        return status;
      output.bytes = tensorBytes(output.dtype, output.dims);
      output.copy.reset(new char[output.bytes + 1]);
      // What a kernel forgets to write should not be right by chance.
      memset(output.copy.get(), 0xaa, output.bytes);
      step = "bind_output";
      if (tenon_status status = tenon_bind_output(
              context, index, output.dtype, output.dims.size(),
              fromData[index] ? nullptr : output.dims.data(), output.copy.get(),
              output.bytes, &error))
        return status;
    }
    return TENON_OK;
  };
  if (makeRoom())
    return failed(step, error);
  // Numbers that nothing bounds before the run: each try meets more of them.
  tenon_status status = tenon_run(context, &error);
  for (int tries = 0;
       tries < 64 && (status == TENON_WORKSPACE_TOO_SMALL ||
                      status == TENON_OUTPUT_TOO_SMALL);
       ++tries) {
    if (makeRoom())
      return failed(step, error);
    status = tenon_run(context, &error);
  }
  if (status)
    return failed("run", error);
  for (auto [index, output] : enumerate(outputs)) {
    if (!fromData[index])
      continue;
    if (tenon_last_output_dims(context, index, output.dims.data(), &error))
      return failed("last_output_dims", error);
    output.bytes = tensorBytes(output.dtype, output.dims);
  }
  std::string report;
  raw_string_ostream os(report);
  for (auto [index, output] : enumerate(outputs)) {
    if (!writeFile(directory + "/output" + Twine(number) + "." + Twine(index) +
                       ".bin",
                   output.copy.get(), output.bytes))
      return {"failed", "cannot write an output"};
    os << (index ? ";" : "") << int(output.dtype) << ":";
    interleave(output.dims, os, ",");
  }
  return {"ok", report};
}

Outcome runArtifact(StringRef directory, StringRef artifact) {
  tenon_error error = {};
  tenon_library library;
  if (tenon_library_open(artifact.str().c_str(), &library, &error))
    return failed("open", error);
  tenon_context_options options;
  TENON_INIT(options);
  options.threads = 1;
  tenon_context *context;
  if (tenon_context_create(library.model, &options, &context, &error))
    return failed("context_create", error);
  Outcome all = {"failed", "no list of inputs"};
  for (int number = 0;; ++number) {
    auto list = MemoryBuffer::getFile(directory + "/inputs" + Twine(number));
    if (!list)
      break;
    Outcome one = runOnce(library, context, directory, **list, number);
    if (one.kind != "ok") {
      if (number > 0)
        one.detail =
            "with size-1 dims (" + std::to_string(number) + "): " + one.detail;
      return one;
    }
    all = {"ok", number == 0 ? one.detail : all.detail + "|" + one.detail};
  }
  tenon_context_destroy(context);
  tenon_library_close(&library);
  return all;
}

/// Whether the graph stage leaves nothing to compute: each result is a
/// constant.
bool isFolded(const tenon::CompileOptions &options) {
  mlir::DialectRegistry registry;
  tenon::registerDialects(registry);
  mlir::MLIRContext context(registry);
  mlir::ScopedDiagnosticHandler quiet(
      &context, [](mlir::Diagnostic &) { return mlir::success(); });
  auto module = tenon::importOnnxFile(options.input, context);
  if (failed(module))
    return false;
  mlir::PassManager passes(&context);
  tenon::populateGraphStage(passes, /*debugValues=*/false);
  if (failed(passes.run(**module)))
    return false;
  bool folded = true;
  (*module)->walk([&](mlir::Operation *op) {
    StringRef name = op->getName().getStringRef();
    if (name.starts_with("tenon."))
      folded &= name == "tenon.constant" || name == "tenon.check";
  });
  return folded;
}

Outcome runCase(StringRef directory, const Settings &settings) {
  std::string artifact = (directory + "/model.so").str();
  tenon::CompileOptions options;
  options.input = (directory + "/model.onnx").str();
  options.output = artifact;
  options.targets = {settings.target};
  options.optLevel = settings.optLevel;
  options.threads = 1; // the jobs take the cores
  options.compilerVersion = "tenon";
  tenon::CompileResult result = tenon::compileModel(options);
  if (!result.ok) {
    // What compiles passes a check too, which runs some of the same stages.
    options.checkOnly = true;
    if (tenon::compileModel(options).ok)
      return {"failed", "a check accepts what is then refused: " + result.error};
    return {result.internal ? "internal" : "refused", result.error};
  }
  Outcome outcome = runArtifact(directory, artifact);
  if (settings.seeFolded && outcome.kind == "ok" && isFolded(options))
    outcome.detail += " folded";
  return outcome;
}

/// A case under way. Its process writes its outcome into a file.
struct Job {
  std::string directory;
  Clock::time_point start;
};

void start(StringRef directory, const Settings &settings) {
  // CPU time, for a busy machine makes nothing hang; SIGPROF ends the process,
  // and SIGALRM one that waits for ever.
  itimerval limit = {{0, 0}, {settings.seconds, 0}};
  setitimer(ITIMER_PROF, &limit, nullptr);
  alarm(20 * settings.seconds);
  Outcome outcome = runCase(directory, settings);
  for (char &c : outcome.detail)
    if (c == '\n' || c == '\t')
      c = ' ';
  std::string text = outcome.kind + "\t" + outcome.detail;
  bool ok = writeFile(directory + "/outcome", text.data(), text.size());
  _exit(ok ? 0 : 1);
}

void finish(const Job &job, int status) {
  Outcome outcome = {"crash", "no outcome was written"};
  if (WIFSIGNALED(status) &&
      (WTERMSIG(status) == SIGALRM || WTERMSIG(status) == SIGPROF))
    outcome = {"hang", ""};
  else if (WIFSIGNALED(status))
    outcome.detail = strsignal(WTERMSIG(status));
  else if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
    outcome.detail = "exit code " + std::to_string(WEXITSTATUS(status));
  else if (auto file = MemoryBuffer::getFile(job.directory + "/outcome")) {
    auto [kind, detail] = (*file)->getBuffer().split('\t');
    outcome = {kind.str(), detail.str()};
  }
  auto time = std::chrono::duration_cast<std::chrono::milliseconds>(
      Clock::now() - job.start);
  outs() << job.directory << "\t" << outcome.kind << "\t" << time.count()
         << "\t" << outcome.detail << "\n";
  outs().flush();
}

} // namespace

int main(int argc, char **argv) {
  Settings settings;
  const char *list = nullptr;
  for (int i = 1; i < argc; ++i) {
    StringRef word = argv[i];
    int *number = word == "-j"   ? &settings.jobs
                  : word == "-O" ? &settings.optLevel
                  : word == "-t" ? &settings.seconds
                  : word == "-c" ? &settings.seeFolded
                                 : nullptr;
    if (!number && settings.target.empty())
      settings.target = argv[i];
    else if (!number)
      list = argv[i];
    else if (++i == argc || StringRef(argv[i]).getAsInteger(10, *number)) {
      errs() << "host: error: " << word << " takes a number\n";
      return 2;
    }
  }
  ErrorOr<std::unique_ptr<MemoryBuffer>> file =
      std::make_error_code(std::errc::invalid_argument);
  if (list)
    file = MemoryBuffer::getFile(list);
  if (!list || !file) {
    errs() << "usage: host [-j N] [-O LEVEL] [-t SECONDS] [-c 0|1] TARGET "
              "LIST\n";
    return 2;
  }
  SmallVector<StringRef> directories;
  (*file)->getBuffer().split(directories, '\n', -1, /*KeepEmpty=*/false);
  std::map<pid_t, Job> running;
  auto wait = [&] {
    int status;
    pid_t process = ::wait(&status);
    auto it = running.find(process);
    if (it == running.end())
      return;
    finish(it->second, status);
    running.erase(it);
  };
  for (StringRef directory : directories) {
    while (int(running.size()) >= settings.jobs)
      wait();
    pid_t process = fork();
    if (process == 0)
      start(directory, settings);
    if (process < 0) {
      errs() << "host: error: fork: " << strerror(errno) << "\n";
      return 2;
    }
    running[process] = {directory.str(), Clock::now()};
  }
  while (!running.empty())
    wait();
  return 0;
}
