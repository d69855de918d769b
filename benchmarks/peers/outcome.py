# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What a comparison found: medians, the machine, how busy it was with other work, and the table."""
import datetime
import os
import pathlib
import platform
import re
import statistics
import time
from importlib.metadata import version

ACCEPTED_SHARE = 0.05  # of the cores' time for other processes, when the wall clock is read


class OtherWork:
    """The share of this process's cores that other processes take from now on."""

    def __init__(self):
        self.cores = os.sched_getaffinity(0)
        self.begin = self.now()

    def now(self):
        """(all, busy and this process's own) seconds."""
        tick = os.sysconf("SC_CLK_TCK")
        total = busy = 0.0
        for line in pathlib.Path("/proc/stat").read_text().splitlines():
            core = re.match(r"cpu(\d+) (.*)", line)
            if core and int(core[1]) in self.cores:
                ticks = [int(x) for x in core[2].split()][:8]  # what follows is in the first two already
                total += sum(ticks) / tick
                busy += (sum(ticks) - ticks[3] - ticks[4]) / tick  # without idle and waiting for I/O
        return total, busy, time.process_time()

    def share(self):
        total, busy, own = (after - before for before, after in zip(self.begin, self.now()))
        return max(0.0, (busy - own) / total) if total else 0.0


def summary(row, error, pairs, token_heads):
    ratios = sorted(peer / ours for peer, ours in pairs)
    return {"name": row.name, "note": row.note, "error": error, "baseline": row.baseline,
            "ns_per_token_head": 1e9 * statistics.median(peer for peer, _ in pairs) / token_heads,
            "linattn_ns_per_token_head": 1e9 * statistics.median(ours for _, ours in pairs) / token_heads,
            "ratio": statistics.median(ratios), "ratio_quartiles": [ratios[len(ratios) // 4],
                                                                    ratios[-1 - len(ratios) // 4]],
            "target": row.target}


def processor():
    info = pathlib.Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor()
    facts = dict(re.findall(r"^(model name|cpu family|model)\s*: (.*)$", info.read_text(), re.MULTILINE))
    return f"{facts.get('model name')} (family {facts.get('cpu family')}, model {facts.get('model')})"


def context(options, share_of_others):
    return {"processor": processor(), "date": datetime.datetime.now(datetime.timezone.utc).isoformat("T", "seconds"),
            "threads": options.threads, "heads": options.heads, "time": options.time, "value_dim": options.value_dim,
            "rounds": options.rounds, "share_of_others": share_of_others,
            "judged": options.threads == 1 or share_of_others <= ACCEPTED_SHARE,
            **{name: version(name) for name in ("torch", "ggml-python", "numpy")}}


def verdict(row, judged):
    if row["target"] is None:
        return ""
    met = "met" if row["ratio"] >= row["target"] else "missed"
    return f">= {row['target']:g}: {met if judged else 'not judged'}"


def print_table(about, results):
    print(f"Threads: {about['threads']}, {about['processor']}, {about['date']}; H = {about['heads']}, "
          f"T = {about['time']}, V = {about['value_dim']}; {about['rounds']} rounds. "
          f"Other processes took {about['share_of_others']:.0%} of the cores.\n")
    print("| peer | ns a token-head | linattn, ns | ratio (quartiles) | target | error | what |")
    print("|---|---|---|---|---|---|---|")
    for row in results:
        low, high = row["ratio_quartiles"]
        print(f"| {row['name']} | {row['ns_per_token_head']:.0f} | {row['linattn_ns_per_token_head']:.0f} "
              f"| {row['ratio']:.2f} ({low:.2f} to {high:.2f}) | {verdict(row, about['judged'])} | {row['error']:.1e} "
              f"| {row['note']} |")
