// The record of measured figures, a JSON object a line: the same as that of the Java benchmarks (io.chorale.bench.History).
#pragma once

#include <string>
#include <vector>

namespace chorale {

struct Figure {
  std::string benchmark, settings, unit;
  std::vector<double> values;  // of several runs
  double target = 0;           // what they are to be held against; 0: nothing
  std::string roofs;           // what the machine could do in the same run; empty: not measured
};

class History {
 public:
  // file: empty: prints only.
  History(std::string file, std::string command, std::string commit, std::string machine)
      : file_(std::move(file)), command_(std::move(command)), commit_(std::move(commit)), machine_(std::move(machine)) {}

  // Appends the figure. Ends the process when the file cannot be written.
  void Record(Figure figure) const;

 private:
  const std::string file_, command_, commit_, machine_;
};

}  // namespace chorale
