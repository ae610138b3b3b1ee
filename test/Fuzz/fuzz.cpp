//===- fuzz.cpp - mutated models through importer and check ---------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// usage: fuzz [-seed=N] [-seconds=S] [-inputs=N] [-compile-every=N]
//             [-keep=DIR] [-replay] FILE-OR-FOLDER...
//
// Mutates models of the corpus and checks each in this process's children: a
// child goes on until an input meets something new, which the parent then adds
// to the corpus, or a fault, which is written to DIR. `new` is a message that
// no input had before, or an operator in a model that compiles. The same seed
// and corpus give the same inputs. A fault is
//
//   crash     a signal, or one that the compiler caught
//   hang      more than 10 s of CPU time
//   memory    more than 2 GB
//   message   a refusal without a diagnostic
//   disagree  `tenon check` and `tenon compile` do not say the same
//
// -replay checks the corpus as it is. The exit code is 1 where there is a
// fault. Seconds are those of the CPU.
//
//===----------------------------------------------------------------------===//
#include "Mutator.h"

#include "onnx/defs/parser.h"
#include "tenon/Pipelines/Pipelines.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"
#include <csignal>
#include <cstring>
#include <malloc.h>
#include <map>
#include <set>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace llvm;
using namespace tenon;

static cl::list<std::string> paths(cl::Positional, cl::OneOrMore);
static cl::opt<uint64_t> seed("seed", cl::init(1));
static cl::opt<double> seconds("seconds", cl::init(60));
static cl::opt<uint64_t> maxInputs("inputs", cl::init(UINT64_MAX));
static cl::opt<unsigned> compileEvery("compile-every", cl::init(0));
static cl::opt<std::string> keep("keep");
static cl::opt<bool> replay("replay");

namespace {

constexpr int kHangSeconds = 10, kStuckSeconds = 120;
constexpr rlim_t kMemory = rlim_t(2) << 30;

/// What a child tells its parent, also when it dies.
struct Report {
  uint64_t number;            // of the input, or of the next one
  uint64_t compiles, refused; // of this child's inputs
  char kind[16];              // of a fault; "new"; empty
  char text[2048];            // its message
  size_t size;                // of the model
  char model[8 << 20];
};
Report *report;

struct Entry {
  std::string name;
  onnx::ModelProto model;
};

void setText(char *to, size_t size, StringRef text) {
  size_t length = std::min(size - 1, text.size());
  memcpy(to, text.data(), length);
  to[length] = 0;
}

/// The message without names and numbers.
std::string skeletonOf(StringRef message) {
  std::string out;
  bool quoted = false;
  for (char c : message) {
    if (c == '\'')
      quoted = !quoted;
    else if (!quoted && isDigit(c))
      out += out.empty() || out.back() != '#' ? "#" : "";
    else if (!quoted)
      out += c;
  }
  return out;
}

/// Adds a refusal's message, or the operators of a model that compiles, to
/// what was seen. Whether there was something new.
bool remember(std::set<std::string> &seen, const onnx::ModelProto &model,
              StringRef message) {
  if (!message.empty())
    return seen.insert(skeletonOf(message)).second;
  bool isNew = false;
  for (const onnx::NodeProto &node : model.graph().node())
    isNew |= seen.insert("ok " + node.domain() + "." + node.op_type() + " " +
                         std::to_string(node.input_size()))
                 .second;
  return isNew;
}

/// Checks and compiles models in memory.
class Target {
public:
  explicit Target(std::set<std::string> &seen) : seen(seen) {
    file = memfd_create("model", 0);
    path = "/proc/self/fd/" + std::to_string(file);
    pid_t self = getpid();
    output = "/dev/shm/tenon-fuzz-" + std::to_string(self) + ".so";
  }

  /// The kind of fault, "new" or "", with its text in `text`.
  std::string run(StringRef bytes, const onnx::ModelProto &model, bool compiles,
                  std::string &text) {
    if (ftruncate(file, 0) ||
        pwrite(file, bytes.data(), bytes.size(), 0) != ssize_t(bytes.size()))
      return "";
    std::vector<UnsupportedNode> unsupported;
    CompileOptions options;
    options.input = path;
    options.checkOnly = true;
    options.import.unsupported = &unsupported;
    CompileResult checked = compileModel(options);
    if (checked.internal)
      return text = checked.error, "crash";
    options.import.unsupported = nullptr;
    CompileResult plain = compileModel(options);
    if (plain.internal)
      return text = plain.error, "crash";
    text = checked.ok ? plain.error : checked.error;
    if (checked.ok != plain.ok)
      return "disagree";
    report->compiles += checked.ok;
    report->refused += !checked.ok;
    if (!checked.ok && isBare(text))
      return "message";
    if (!checked.ok)
      return remember(seen, model, text) ? "new" : "";
    if (compiles) {
      options.checkOnly = false;
      options.output = output;
      options.optLevel = 0;
      CompileResult made = compileModel(options);
      unlink(output.c_str());
      text = made.error;
      if (made.internal)
        return "crash";
      if (!made.ok)
        return "disagree";
    }
    return remember(seen, model, "") ? "new" : "";
  }

private:
  /// Does it only say that something went wrong, or name what is ours?
  static bool isBare(StringRef text) {
    return text.empty() || text == "a pass failed" ||
           text == "the model could not be imported" ||
           text == "the imported graph is invalid" ||
           text == "no kernels could be emitted" || text.contains("_invalid");
  }

  std::set<std::string> &seen;
  int file;
  std::string path, output;
};

std::vector<Entry> readCorpus() {
  std::set<std::string> files;
  for (const std::string &path : paths) {
    if (!sys::fs::is_directory(path)) {
      files.insert(path);
      continue;
    }
    std::error_code problem;
    for (sys::fs::recursive_directory_iterator i(path, problem), end;
         i != end && !problem; i.increment(problem))
      if (StringRef(i->path()).ends_with(".onnx") ||
          StringRef(i->path()).ends_with(".onnxtxt"))
        files.insert(i->path());
  }
  std::vector<Entry> corpus;
  for (const std::string &file : files) {
    auto buffer = MemoryBuffer::getFile(file);
    if (!buffer || (*buffer)->getBufferSize() > sizeof report->model / 4)
      continue;
    Entry entry{file, {}};
    StringRef text = (*buffer)->getBuffer();
    bool read =
        StringRef(file).ends_with(".onnxtxt")
            ? onnx::OnnxParser::Parse(entry.model, text.str().c_str()).IsOK()
            : entry.model.ParseFromArray(text.data(), int(text.size()));
    if (read)
      corpus.push_back(std::move(entry));
  }
  return corpus;
}

double childrensSeconds() {
  rusage usage;
  getrusage(RUSAGE_CHILDREN, &usage);
  auto of = [](const timeval &t) { return double(t.tv_sec) + t.tv_usec / 1e6; };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

void setTimer(int which, int limit) {
  itimerval timer = {{0, 0}, {limit, 0}};
  setitimer(which, &timer, nullptr);
}

/// Adds room for what an input may take to what the process has.
void limitMemory() {
  long pages = 0;
  if (FILE *statm = fopen("/proc/self/statm", "r")) {
    if (fscanf(statm, "%ld", &pages) != 1)
      pages = 0;
    fclose(statm);
  }
  // Kernels are compiled on all cores: a stack for each, and one heap for all.
  mallopt(M_ARENA_MAX, 1);
  rlim_t stacks = rlim_t(std::thread::hardware_concurrency()) << 24;
  rlim_t limit = rlim_t(pages) * rlim_t(getpagesize()) + kMemory + stacks;
  rlimit as = {limit, limit};
  setrlimit(RLIMIT_AS, &as);
}

/// The child: inputs from report->number on, up to one to tell about.
[[noreturn]] void runInputs(const std::vector<Entry> &corpus,
                            const fuzz::Mutator &mutator,
                            std::set<std::string> &seen, uint64_t end) {
  limitMemory();
  Target target(seen);
  for (; report->number < end; ++report->number) {
    fuzz::Random random(seed * 0x100000001b3 + report->number);
    for (int i = 0; i < 4; ++i)
      random.next();
    onnx::ModelProto model =
        corpus[replay ? report->number : random.below(corpus.size())].model;
    if (!replay)
      mutator.mutate(model, corpus[random.below(corpus.size())].model, random);
    std::string bytes = model.SerializeAsString(), text;
    if (bytes.size() > sizeof report->model)
      continue;
    memcpy(report->model, bytes.data(), bytes.size());
    report->size = bytes.size();
    setTimer(ITIMER_PROF, kHangSeconds);
    setTimer(ITIMER_REAL, kStuckSeconds);
    bool compiles = compileEvery && report->number % compileEvery == 0;
    std::string kind = target.run(bytes, model, compiles, text);
    setTimer(ITIMER_PROF, 0);
    setTimer(ITIMER_REAL, 0);
    if (kind.empty() || (replay && kind == "new"))
      continue;
    setText(report->kind, sizeof report->kind, kind);
    setText(report->text, sizeof report->text, text);
    _exit(0);
  }
  _exit(0);
}

struct Totals {
  uint64_t compiles = 0, refused = 0, learnt = 0;
  std::map<std::string, uint64_t> faults; // by kind
  std::set<std::string> known;            // kinds and messages
};

void noteFault(Totals &totals, StringRef name) {
  ++totals.faults[report->kind];
  std::string what = std::string(report->kind) + ": " + report->text;
  if (!totals.known.insert(skeletonOf(what)).second)
    return;
  outs() << "input " << report->number << " " << name << " " << what << "\n";
  outs().flush();
  if (keep.empty())
    return;
  std::string file = keep + "/" + report->kind + "-" + std::to_string(seed) +
                     "-" + std::to_string(report->number) + ".onnx";
  std::error_code problem;
  raw_fd_ostream stream(file, problem);
  if (!problem)
    stream << StringRef(report->model, report->size);
}

/// What a child died of.
void nameSignal(int status) {
  int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  bool slow = signal == SIGPROF || signal == SIGALRM;
  bool memory = WIFEXITED(status) && WEXITSTATUS(status) != 0;
  setText(report->kind, sizeof report->kind,
          slow     ? "hang"
          : memory ? "memory"
                   : "crash");
  setText(report->text, sizeof report->text,
          signal ? strsignal(signal)
                 : "exit code " + std::to_string(WEXITSTATUS(status)));
}

} // namespace

int main(int argc, char **argv) {
  cl::ParseCommandLineOptions(argc, argv);
  report = static_cast<Report *>(mmap(nullptr, sizeof *report,
                                      PROT_READ | PROT_WRITE,
                                      MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  if (report == MAP_FAILED)
    return 2;
  if (!keep.empty())
    sys::fs::create_directories(keep);
  std::vector<Entry> corpus = readCorpus();
  if (corpus.empty()) {
    errs() << "fuzz: no model in the corpus\n";
    return 2;
  }
  size_t given = corpus.size();
  fuzz::Mutator mutator;
  for (const Entry &entry : corpus)
    mutator.learn(entry.model);
  std::set<std::string> seen;
  Totals totals;
  uint64_t end = replay ? corpus.size() : uint64_t(maxInputs);
  constexpr uint64_t kBatch = 200;
  while (report->number < end && childrensSeconds() < seconds) {
    report->kind[0] = 0;
    report->compiles = report->refused = 0;
    uint64_t stop = std::min(end, report->number + kBatch);
    pid_t child = fork();
    if (child < 0)
      return 2;
    if (child == 0)
      runInputs(corpus, mutator, seen, stop);
    int status = 0;
    waitpid(child, &status, 0);
    totals.compiles += report->compiles;
    totals.refused += report->refused;
    if (!WIFEXITED(status) || WEXITSTATUS(status))
      nameSignal(status);
    StringRef kind(report->kind);
    if (kind.empty())
      continue;
    if (kind != "new") {
      noteFault(totals, replay ? corpus[report->number].name : "");
    } else {
      ++totals.learnt;
      Entry entry;
      if (entry.model.ParseFromArray(report->model, int(report->size))) {
        remember(seen, entry.model, report->text); // as the child did
        corpus.push_back(std::move(entry));
      }
    }
    ++report->number;
  }
  outs() << report->number << " inputs of " << given << " models and "
         << totals.learnt << " found on the way, " << totals.compiles
         << " compile, " << totals.refused << " refused, "
         << format("%.0f s\n", childrensSeconds());
  uint64_t faults = 0;
  for (const auto &[kind, count] : totals.faults) {
    outs() << count << " " << kind << "\n";
    faults += count;
  }
  outs() << (faults ? "faults\n" : "no fault\n");
  return faults ? 1 : 0;
}
