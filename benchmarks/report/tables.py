# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The Markdown tables of docs/performance.md, from Results. A number that was not measured is said to be missing."""

NATIVE = ("gcc", "clang")
NAMES = {"gcc": "g++", "clang": "clang++", "gcc-avx2": "g++, AVX2", "clang-avx2": "clang++, AVX2"}
HUGE = "gcc-huge"
CONTEXT_NAMES = NAMES | {HUGE: "g++, tensors in huge pages"}
MISSING = "not measured"
ONE = {"H": 8, "T": 2048, "element": "float"}


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(row) + " |" for row in rows)]


def number(value, spelling):
    return MISSING if value is None else spelling.format(value)


def ratio(upper, lower, counter=None):
    """Of two cases' times, or of a counter; None if one is missing."""
    if upper is None or lower is None:
        return None
    return upper[counter] / lower[counter] if counter else upper.nanoseconds / lower.nanoseconds


class Report:
    def __init__(self, results):
        self.results = results

    def head(self, where, time=2048, d=16, by="chunkwise", of="rebased"):
        return self.results.one(where, "head", by=by, map=of, d=d, T=time)

    def training(self, where, turn, d=16, of="layer_norm", by="chunkwise", time=2048, element="float"):
        return self.results.one(where, "training", map=of, by=by, d=d, T=time, element=element, **{"pass": turn})

    def decode(self, where, place="cache", d=16, of="rebased", element="float"):
        return self.results.one(where, "decode", map=of, d=d, element=element, **{"in": place})

    def thread_ratio(self, family="threads", threads=2, **keys):
        keys = {"d": 16, "by": "chunkwise"} | keys
        one = self.results.one("gcc", family, threads=1, **keys)
        return ratio(one, self.results.one("gcc", family, threads=threads, **keys))

    def peak_factor(self, threads=2):
        """How many times the multiply-adds of one thread the machine gave several, by the wall clock; the median."""
        factors = sorted(more["peak_flop/s"] / one["peak_flop/s"]
                         for one in self.results.all("gcc", "threads", threads=1)
                         for more in self.results.all("gcc", "threads", **{**one.keys, "threads": threads}))
        return factors[len(factors) // 2] if factors else None

    def compiled(self, where, unit, flags="-O2", count=None, counter="real_time"):
        """Milliseconds, or a counter."""
        keys = {"with": unit} | ({"count": count} if count else {})
        found = [case for case in self.results.all(where, "compile", **keys) if case.keys["flags"] == flags]
        return found[0][counter] if found else None

    def one_more(self, where, verb, flags):
        return self.compiled(where, verb, flags, 2, "one_more")

    def share(self, case):
        return None if case is None else case["share"]

    # --- what docs/performance.md shows ------------------------------------------------------------------------------
    def machine(self):
        lines = []
        for where, context in sorted(self.results.contexts.items()):
            load = ", ".join(f"{x:.1f}" for x in context["load_avg"])
            lines.append(f"- {CONTEXT_NAMES[where]}: {context['compiler'].strip()}, {context['instruction_set']}, begun "
                         f"{context['date'][:16].replace('T', ' ')}, load average {load}")
        peaks = [self.share_peak(where) for where in NATIVE]
        caches = ", ".join(f"L{cache['level']} {cache['type'].lower()} {cache['size'] // 1024} KiB"
                           for cache in self.results.contexts["gcc"]["caches"] if cache["type"] != "Instruction")
        memory = self.decode("gcc", "memory")
        variations = sorted(case.variation for case in self.results.cases.values())
        return [f"{processor()}, {self.results.contexts['gcc']['num_cpus']} cores; {caches}.", "", *lines, "",
                "Ceilings of one thread, in the same processes: "
                + "; ".join(f"{number(peak, '{:.0f}')} Gflop/s ({NAMES[where]})" for where, peak in zip(NATIVE, peaks))
                + f"; memory {number(memory and memory['bandwidth'] / 1e9, '{:.1f}')} GB/s, read and written. "
                f"Repetitions of a case vary by {variations[len(variations) // 2]:.1%} (coefficient of variation, median "
                f"over {len(variations)} cases; {variations[-1]:.0%} at most)."]

    def share_peak(self, where):
        case = self.head(where)
        return case and case["peak_flop/s"] / 1e9

    def targets(self):
        """(target, words of the bound, the bound, at least?, spelling, [g++, clang++])"""
        both = NATIVE
        avx2 = ("gcc-avx2", "clang-avx2")
        rows = [
            ("forward, T = 2048: share of the peak", 0.74, True, "{:.0%}", [self.share(self.head(w)) for w in both]),
            ("forward, T = 2048, tensors in huge pages: share of the peak", 0.74, True, "{:.0%}",
             [self.share(self.head(HUGE)), ""]),
            ("forward, T = 16384: rate beside T = 2048", 0.90, True, "{:.0%}",
             [ratio(self.head(w), self.head(w, 16384)) for w in both]),
            ("forward, T = 16384, tensors in huge pages: rate beside T = 2048", 0.90, True, "{:.0%}",
             [ratio(self.head(HUGE), self.head(HUGE, 16384)), ""]),
            ("forward, AVX2, T = 2048: share of its own peak", 0.75, True, "{:.0%}",
             [self.share(self.head(w)) for w in avx2]),
            ("parallel, T = 2048: useful share", 0.85, True, "{:.0%}",
             [self.share(self.head(w, by="parallel")) for w in both]),
            ("ReBased with LayerNorm, gamma and beta: time beside the square", 1.05, False, "{:.2f}",
             self.map_ratios("rebased", "square")),
            ("Taylor: time beside ReBased", 1.12, False, "{:.2f}", self.map_ratios("taylor", "layer_norm")),
            *((f"{e} tensors: time beside float", 1.1, False, "{:.2f}", self.element_ratios(e)) for e in ("bf16", "f16")),
            ("bf16 tensors, `precision::fast`: times as fast as float", 1.35, True, "{:.2f}",
             [value and 1 / value for value in self.element_ratios("bf16", "fast")]),
            ("backward: times its forward, T = 2048", 2.6, False, "{:.2f}",
             [ratio(self.training(w, "backward"), self.training(w, "forward")) for w in both]),
            ("two threads of a host beside one, T = 2048", 1.9, True, "{:.2f}", [self.thread_ratio(H=8, T=2048), ""]),
            ("two threads that each call starts, T = 2048", 1.9, True, "{:.2f}",
             [self.thread_ratio("started_threads", H=8, T=2048), ""]),
            ("two threads of a host beside one, B H = 1, T = 16384", 1.9, True, "{:.2f}",
             [self.thread_ratio(H=1, T=16384), ""]),
            ("step, state in L2: ns a token-head", 350, False, "{:.0f}",
             [(c := self.decode(w)) and c.nanoseconds for w in both]),
            ("step, states in memory: share of the bandwidth", 0.80, True, "{:.0%}",
             [(c := self.decode(w, "memory")) and c["bandwidth_share"] for w in both]),
            ("linattn.hpp alone, -O2: seconds", 1.0, False, "{:.2f}",
             [(t := self.compiled("gcc", "header")) and t / 1e3, ""]),
            ("one more forward, -O2: seconds", 0.6, False, "{:.2f}", [self.one_more("gcc", "forward", "-O2"), ""]),
            ("one more backward, -O2: seconds", 1.2, False, "{:.2f}", [self.one_more("gcc", "backward", "-O2"), ""]),
        ]
        lines = []
        for what, bound, at_least, spelling, values in rows:
            cells = []
            for value in values:
                given = self.peak_factor() if "threads" in what else None
                if given and value and given < bound:
                    cells.append(f"{value:.2f}, not judged: the machine itself gave two threads {given:.2f}")
                    continue
                met = value not in ("", None) and (value >= bound if at_least else value <= bound)
                cells.append(value if value == "" else MISSING if value is None
                             else spelling.format(value) + (", met" if met else ", **missed**"))
            lines.append((what, ("at least " if at_least else "at most ") + spelling.format(bound), *cells))
        return table(("what", "target", "g++", "clang++"), lines)

    def forward(self):
        lines = []
        for case in self.results.all("gcc", "head"):
            cells = [case.keys["by"], case.keys["map"], case.keys["d"], case.keys["T"]]
            for where in ("gcc", "clang", "gcc-avx2", "clang-avx2"):
                same = self.results.one(where, "head", **case.keys)
                if where in NATIVE:
                    cells.append(number(same and same.nanoseconds, "{:.0f}"))
                    cells.append(number(same and same.rate / 1e6, "{:.2f}"))
                cells.append(number(self.share(same), "{:.0%}"))
            lines.append(cells)
        head = ["form", "map", "d", "T"]
        for where in NATIVE:
            head += [f"{NAMES[where]}: ns", "M token-heads/s", "share"]
        return table([*head, "g++, AVX2: share", "clang++, AVX2: share"], lines)

    def map_ratios(self, upper, lower):
        return [ratio(self.results.one(w, "maps", map=upper), self.results.one(w, "maps", map=lower)) for w in NATIVE]

    def element_ratios(self, element, family="elements"):
        """Times beside those of float tensors and precision::full."""
        return [ratio(self.results.one(w, family, element=element), self.results.one(w, "elements", element="float"))
                for w in NATIVE]

    def ratios(self):
        def spelt(values):
            return [number(value, "{:.3f}") for value in values]

        def of_maps(upper, lower):
            return spelt(self.map_ratios(upper, lower))

        return table(("time of", "beside", "g++", "clang++"), [
            ("ReBased with LayerNorm, gamma and beta", "the square, nothing normalised", *of_maps("rebased", "square")),
            ("ReBased with LayerNorm alone", "the square, nothing normalised", *of_maps("layer_norm", "square")),
            ("Taylor (153 features)", "ReBased with LayerNorm (136)", *of_maps("taylor", "layer_norm")),
            *((f"{e} tensors", "float", *spelt(self.element_ratios(e))) for e in ("bf16", "f16")),
            *((f"{e} tensors, `precision::fast`", "float", *spelt(self.element_ratios(e, "fast")))
              for e in ("float", "bf16")),
            *((f"backward, {e}", f"forward, {e}",
               *(number(ratio(self.training(w, "backward", element=e), self.training(w, "forward", element=e)), "{:.3f}")
                 for w in NATIVE)) for e in ("bf16", "f16"))])

    def training_table(self):
        lines = []
        for case in self.results.all("gcc", "training", **{"pass": "backward"}):
            keys = {key: value for key, value in case.keys.items() if key != "pass"}
            cells = [case.keys[key] for key in ("by", "map", "d", "T", "element")]
            for where in ("gcc", "clang", "gcc-avx2", "clang-avx2"):
                turn = {t: self.results.one(where, "training", **keys, **{"pass": t}) for t in ("forward", "backward")}
                if where in NATIVE:
                    cells.append(number(turn["backward"] and turn["backward"].nanoseconds, "{:.0f}"))
                    cells.append(number(self.share(turn["backward"]), "{:.0%}"))
                cells.append(number(ratio(turn["backward"], turn["forward"]), "{:.2f}"))
            lines.append(cells)
        head = ["form", "map", "d", "T", "tensors"]
        for where in NATIVE:
            head += [f"{NAMES[where]}: ns", "share", "times forward"]
        return table([*head, "g++, AVX2: times forward", "clang++, AVX2: times forward"], lines)

    def decode_table(self):
        lines = []
        for case in self.results.all("gcc", "decode") + self.results.all("gcc", "decode_loop"):
            cells = [case.keys["map"] + (", its loop alone" if case.family == "decode_loop" else ""), case.keys["d"], case.keys["element"], case.keys["in"],
                     f"{case['state_bytes'] / 1e6:.2f}"]
            for where in NATIVE:
                same = self.results.one(where, case.family, **case.keys)
                cells += [number(same and same.nanoseconds, "{:.0f}"), number(same and same["bytes/s"] / 1e9, "{:.1f}"),
                          number(same["bandwidth_share"], "{:.0%}") if same and "bandwidth_share" in same else ""]
            lines.append(cells)
        head = ["map", "d", "tensors", "states in", "states, MB"]
        for where in NATIVE:
            head += [f"{NAMES[where]}: ns a token-head", "GB/s", "of memory's"]
        return table(head, lines)

    def threads(self):
        lines = []
        for family, what in (("threads", "forward"), ("started_threads", "forward"), ("training_threads", None),
                             ("decode_threads", "step")):
            started = "the call's" if family == "started_threads" else "a host's"
            for case in self.results.all("gcc", family, threads=1):
                for more in sorted(self.results.all("gcc", family), key=lambda c: int(c.keys["threads"])):
                    if more.keys["threads"] == "1" or more.keys | {"threads": "1"} != case.keys:
                        continue
                    lines.append((what or case.keys["pass"], case.keys["by"], case.keys["d"],
                                  f"{case.keys['B']} x {case.keys['H']}", "1" if what == "step" else case.keys["T"],
                                  f"{more.keys['threads']}, {started}", f"{ratio(case, more):.2f}",
                                  f"{more['peak_flop/s'] / case['peak_flop/s']:.2f}"))
        return table(("verb", "form", "d", "B x H", "T", "threads", "times as fast as one", "the peak's own factor"),
                     lines)

    def automatic(self):
        lines = []
        for d in (16, 32, 64):
            worst, worst_time, crossing = 0.0, None, None
            for case in sorted(self.results.all("gcc", "sweep", by="automatic", d=d), key=lambda c: int(c.keys["T"])):
                forms = {by: self.results.one("gcc", "sweep", **case.keys | {"by": by})
                         for by in ("parallel", "chunkwise")}
                best = min(form.nanoseconds for form in forms.values() if form)
                if case.nanoseconds / best > worst:
                    worst, worst_time = case.nanoseconds / best, case.keys["T"]
                if forms["parallel"] and not crossing and forms["chunkwise"].nanoseconds < forms["parallel"].nanoseconds:
                    crossing = case.keys["T"]
            lines.append((str(d), f"{worst:.3f}" if worst else MISSING, worst_time or "", crossing or MISSING))
        return table(("d", "automatic beside the better form, at worst", "at T", "chunkwise is faster from T"), lines)

    def compile(self):
        lines = []
        for where in NATIVE:
            for flags in sorted({case.keys["flags"] for case in self.results.all(where, "compile")} - {"-E"}):
                def seconds(unit, count=None):
                    return number((t := self.compiled(where, unit, flags, count)) and t / 1e3, "{:.2f}")
                for verb in ("forward", "backward", "step"):
                    sizes = [case["code_bytes"] / 1e3 for count in (1, 2)
                             for case in self.results.all(where, "compile", **{"with": verb, "count": count})
                             if case.keys["flags"] == flags]
                    if len(sizes) < 2:
                        continue
                    lines.append((NAMES[where], f"`{flags}`", seconds("header"), verb, seconds(verb, 1),
                                  number(self.one_more(where, verb, flags), "{:.2f}"), f"{sizes[0]:.0f}",
                                  f"{sizes[1] - sizes[0]:.0f}"))
        return table(("compiler", "flags", "header alone, s", "verb", "with the first call, s", "one more map, s",
                      "code, kB", "one more map, kB"), lines)


def processor():
    """The processor of this machine: a virtual machine's name may say little, so its family and model too."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            facts = dict([part.strip() for part in line.split(":", 1)] for line in lines if ":" in line)
        return f"{facts['model name']} (family {facts['cpu family']}, model {facts['model']})"
    except (OSError, KeyError):
        return "An unknown processor"
