#!/usr/bin/env python3
"""Checks the rules of the house that a compiler does not see (ARCHITECTURE.md, "The house").

    check.py [ROOT]       checks the tree; prints one line per breach, exits 1 if there is one
    check.py --self-test  checks the checker against small trees, good and bad

What is checked: a module includes and links only modules in rows below its own, and so do the rooms
of app, whose includes never go round; libraries stay in the modules that hide them; only base/ reads
a clock; nothing is detached; tests neither skip nor wait by sleeping.
"""

import pathlib
import re
import sys

# Bottom up. Modules of one row do not know each other.
ROWS = (("base",), ("net", "metrics", "config"), ("balancer",), ("health",), ("proxy",), ("admin",),
        ("app",))
ROW_OF = {module: row for row, modules in enumerate(ROWS) for module in modules}

# The rooms of app, bottom up. What stands in app itself belongs to no row: it wires them.
APP_ROWS = (("ledger", "sandbox", "tls"), ("reload",), ("upgrade",), ("operations",))
APP_ROW_OF = {room: row for row, rooms in enumerate(APP_ROWS) for room in rooms}
# The other end of the API: the client knows what the API answers, and nothing of the proxy.
CLIENT_MAY_USE = ("app/client/", "base/", "config/", "app/diagnostics.hpp", "app/exit_status.hpp",
                  "app/runtime_directory.hpp", "app/token_file.hpp", "app/with_commas.hpp",
                  "net/asio_words.hpp", "net/unique_fd.hpp")

# Where an include of a library may stand: modules or files.
LIBRARIES = (
    ("Asio and Beast", r"boost/(asio|beast)(/|\.hpp)", ("net", "admin", "health", "app")),
    ("OpenSSL", r"openssl/", ("net", "app/version.cpp")),
    ("toml++", r"toml\+\+/", ("config",)),
    ("spdlog", r"spdlog/", ("net/logger.cpp", "app/version.cpp")),
    ("CLI11", r"CLI/", ("app/command_line.cpp", "app/client/commands.cpp")),
    ("prometheus-cpp", r"prometheus/", ("metrics",)),
    ("c-ares", r"ares(\.h|_\w+\.h)$", ("net",)),
    ("libpq", r"(postgresql/)?libpq-", ("health/probe/postgres_probe.cpp",)),
    ("hiredis", r"hiredis/", ("health/probe/redis_probe.cpp",)),
    ("libseccomp", r"seccomp\.h$", ("app/sandbox/seccomp.cpp",)),
    ("libmariadb", r"(mariadb/)?mysql\.h$", ("health/probe/mysql_probe.cpp",)),
)

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)
LINK = re.compile(r"\bpenstock(?:::|_)([a-z]+)\b")
CLOCK = re.compile(r"\b(steady_clock|system_clock|high_resolution_clock|clock_type|clock)::now\b"
                   r"|\bclock_gettime\b|\bgettimeofday\b")
# Another name for a clock, and how it is read under that one.
CLOCK_ALIAS = re.compile(r"\b(?:using\s+(\w+)\s*=|typedef)\s*[\w:]*"
                         r"\b(?:steady|system|high_resolution)_clock\s*(?:(\w+)\s*)?;")
DETACHED = re.compile(r"\bdetached\b|\.detach\(\)")
SKIP = re.compile(r"\bGTEST_SKIP\b|\bDISABLED_\w+")
SLEEP = re.compile(r"\bsleep_(for|until)\b|\b(u|nano)?sleep\(")

# Strings come first, so that a comment sign inside one is not taken for a comment.
TOKENS = re.compile(r'R"([^()\\\s]{0,16})\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\''
                    r"|//[^\n]*|/\*.*?\*/", re.DOTALL)


def without_comments(text):
    """The code alone; line breaks stay, so that line numbers do."""
    def blank(match):
        token = match.group()
        return "\n" * token.count("\n") if token.startswith(("//", "/*")) else token
    return TOKENS.sub(blank, text)


def without_strings(code):
    return TOKENS.sub(lambda match: '""' + "\n" * match.group().count("\n"), code)


class Checker:
    def __init__(self, root):
        self.root = root
        self.breaches = []
        self.known = {}  # in app, by unit, that is a header with its source: the units it includes

    def run(self):
        for module in ROW_OF:
            for path in self.sources(module):
                self.check_source(path, module)
            for path in sorted((self.root / module).rglob("CMakeLists.txt")):
                self.check_links(path, module)
        self.check_cycles()
        for path in self.sources("tests"):
            self.check_test(path)
        return self.breaches

    def sources(self, folder):
        return sorted(path for path in (self.root / folder).rglob("*")
                      if path.suffix in (".hpp", ".cpp"))

    def breach(self, path, text, offset, message):
        line = text.count("\n", 0, offset) + 1
        self.breaches.append(f"{path.relative_to(self.root).as_posix()}:{line}: {message}")

    def check_source(self, path, module):
        code = without_comments(path.read_text())
        for include in INCLUDE.finditer(code):
            self.check_include(path, module, code, include)
        bare = without_strings(code)
        if module != "base":
            for offset in self.clock_readings(bare):
                self.breach(path, bare, offset,
                            "reads a clock; take `now` as an argument (base/clock.hpp)")
        for match in DETACHED.finditer(bare):
            self.breach(path, bare, match.start(),
                        "detaches; whoever starts it must hear of its end")

    @staticmethod
    def clock_readings(bare):
        names = {alias for match in CLOCK_ALIAS.finditer(bare) for alias in match.groups() if alias}
        patterns = [CLOCK] + [re.compile(rf"\b{name}::now\b") for name in sorted(names)]
        return [match.start() for pattern in patterns for match in pattern.finditer(bare)]

    def check_include(self, path, module, code, include):
        quote, name = include.groups()
        if quote == '"':
            self.check_own_include(path, module, code, include.start(), name)
            return
        place = path.relative_to(self.root).as_posix()
        for library, pattern, allowed in LIBRARIES:
            if re.match(pattern, name) and module not in allowed and place not in allowed:
                self.breach(path, code, include.start(),
                            f"{library} belongs to {', '.join(allowed)}")

    def check_own_include(self, path, module, code, offset, name):
        other = name.partition("/")[0]
        if other not in ROW_OF:
            self.breach(path, code, offset, f'"{name}": includes are written from the root of the '
                                            "repository and name a module")
        elif not self.may_use(module, other):
            self.breach(path, code, offset, f"{module} may not use {other}")
        else:
            self.check_rooms(path, code, offset, name)
            if module == "app":
                unit = path.relative_to(self.root).with_suffix("").as_posix()
                self.known.setdefault(unit, []).append(name.rpartition(".")[0])

    def check_rooms(self, path, code, offset, name):
        """Inside app: `path` includes `name`."""
        own = self.room_of(path.relative_to(self.root).as_posix())
        other = self.room_of(name)
        if own == "client":
            if not name.startswith(CLIENT_MAY_USE):
                self.breach(path, code, offset,
                            f"app/client knows what the API answers, and may not use {name}")
        elif own and other and own != other:
            # Rooms without a row are of nobody's but app's own.
            if other not in APP_ROW_OF or APP_ROW_OF[other] >= APP_ROW_OF.get(own, -1):
                self.breach(path, code, offset, f"app/{own} may not use app/{other}")

    @staticmethod
    def room_of(name):
        """`tls` of app/tls/material.hpp; nothing of a file of app itself or of another module."""
        parts = name.split("/")
        return parts[1] if parts[0] == "app" and len(parts) > 2 else None

    def check_cycles(self):
        """Takes away who includes nobody that is left: from whoever stays, each way goes round."""
        left = {unit: {other for other in others if other != unit}
                for unit, others in self.known.items()}
        while True:
            while ends := [unit for unit, others in left.items() if not others & left.keys()]:
                for unit in ends:
                    del left[unit]
            if not left:
                return
            way = [min(left)]
            while way[-1] not in way[:-1]:
                way.append(min(left[way[-1]] & left.keys()))
            way = way[way.index(way[-1]):]
            self.breaches.append(f"{way[0]}: includes go round: {' -> '.join(way)}")
            for unit in way[1:]:
                del left[unit]

    def check_links(self, path, module):
        text = re.sub(r"#[^\n]*", "", path.read_text())
        for match in LINK.finditer(text):
            other = match.group(1)
            if other in ROW_OF and not self.may_use(module, other):
                self.breach(path, text, match.start(), f"{module} may not link {other}")

    def check_test(self, path):
        text = path.read_text()
        bare = without_strings(without_comments(text))
        for match in SKIP.finditer(bare):
            self.breach(path, bare, match.start(), "a test that does not run proves nothing")
        lines = text.splitlines()
        for match in SLEEP.finditer(bare):
            if not self.is_explained(lines, bare.count("\n", 0, match.start())):
                self.breach(path, bare, match.start(),
                            "sleeps; wait for the event with a deadline, or say in a comment here "
                            "why this is a pace and no wait")

    @staticmethod
    def is_explained(lines, index):
        """True inside a loop that looks again, or beside a comment; statements may span lines."""
        around = lines[max(index - 2, 0):index + 1]
        return any("//" in line or re.search(r"\bwhile \(", line) for line in around)

    @staticmethod
    def may_use(module, other):
        return module == other or ROW_OF[other] < ROW_OF[module]


def main(arguments):
    if arguments == ["--self-test"]:
        import self_test
        return self_test.run()
    root = pathlib.Path(arguments[0]) if arguments else pathlib.Path(__file__).parents[2]
    if not (root / "base").is_dir():
        print(f"{root}: not the root of the repository", file=sys.stderr)
        return 2
    breaches = Checker(root.resolve()).run()
    print("\n".join(breaches) if breaches else "layering: all rules hold")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
