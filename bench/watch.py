#===- watch.py - a process's memory while it runs --------------------------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""Polls the memory of a child process.

getrusage's ru_maxrss would not do: exec hands the forked parent's own peak on
to the child.
"""

import threading
import time


class Watch:
    """The peaks of anonymous and whole resident memory, in kB."""

    def __init__(self, pid):
        self.pid, self.anonymous, self.resident = pid, 0, 0
        self.thread = threading.Thread(target=self.poll, daemon=True)
        self.thread.start()

    def poll(self):
        while True:
            try:
                with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
                    fields = dict(line.split(":", 1) for line in file)
                self.anonymous = max(self.anonymous, int(fields["RssAnon"].split()[0]))
                self.resident = max(self.resident, int(fields["VmHWM"].split()[0]))
            except (OSError, KeyError):  # it has ended
                return
            time.sleep(0.005)

    def finish(self):
        """Call once the process has been waited for."""
        self.thread.join()
