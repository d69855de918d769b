# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Reads the JSON of the benchmarks: medians over the repetitions of one process, found by configuration, family and keys."""
import json


class Case(dict):
    """A case's median counters, its keys (`by`, `map`, `d`, ...) and how much its repetitions vary."""

    def __init__(self, row, family, keys):
        super().__init__(row)
        self.family = family
        self.keys = keys
        self.variation = 0.0

    @property
    def rate(self):
        return self["token_heads/s"]

    @property
    def nanoseconds(self):
        return 1e9 / self.rate


class Results:
    def __init__(self, folder):
        self.cases = {}       # (configuration, name) -> Case
        self.contexts = {}    # configuration -> the context of its first file
        files = sorted(folder.glob("*.json"))
        if not files:
            raise SystemExit(f"report.py: {folder} holds no JSON; benchmarks/report/run.sh run makes it")
        for path in files:
            self.read(path)

    def read(self, path):
        configuration = path.name.split(".")[0]
        text = json.loads(path.read_text())
        self.contexts.setdefault(configuration, text["context"])
        for row in text["benchmarks"]:
            name = row.get("run_name", row["name"])
            if row.get("error_occurred"):
                raise SystemExit(f"report.py: {path.name}: {name}: {row.get('error_message')}")
            family, *parts = name.split("/")
            keys = dict(part.split(":", 1) for part in parts if ":" in part)
            if row.get("aggregate_name") == "median":
                self.cases[configuration, name] = Case(row, family, keys)
            elif row.get("aggregate_name") == "cv":   # comes after the median
                timed = "real_time" if name.endswith("_time") else "cpu_time"
                self.cases[configuration, name].variation = row[timed]

    def all(self, configuration, family, **keys):
        """In the order in which the program lists them, not that of their shuffled repetitions."""
        return sorted((case for (where, _), case in self.cases.items()
                       if where == configuration and case.family == family
                       and all(case.keys.get(key) == str(value) for key, value in keys.items())),
                      key=lambda case: case["family_index"])

    def one(self, configuration, family, **keys):
        """The only case that has these keys; None if it was not measured."""
        found = self.all(configuration, family, **keys)
        if len(found) > 1:
            raise SystemExit(f"report.py: {len(found)} cases of {configuration} are {family} {keys}: "
                             f"{[case.keys for case in found]}")
        return found[0] if found else None
