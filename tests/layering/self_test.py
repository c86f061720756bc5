"""Trees that check.py must accept or reject, breach by breach."""

import pathlib
import tempfile
import unittest

import check

GOOD = {
    "base/clock.cpp": "auto t = std::chrono::steady_clock::now();\n",
    "net/logger.cpp": '#include "base/clock.hpp"\n#include <spdlog/async.h>\n',
    "config/document.cpp": "#include <toml++/toml.h>\n",
    "proxy/session.cpp": '// steady_clock::now() and detached: only words\n'
                         '#include "net/socket.hpp"\n#include "balancer/backend.hpp"\n'
                         'const char* text = "asio::detached // system_clock::now";\n',
    "proxy/CMakeLists.txt": "penstock_module(proxy PUBLIC penstock::net penstock::base)\n",
    "app/tls/a.cpp": "using Clock = std::chrono::steady_clock;\nClock::time_point start;\n",
    "app/run.cpp": "#include <boost/asio/io_context.hpp>\n#include \"proxy/session.hpp\"\n",
    "app/client/top.cpp": '#include "app/exit_status.hpp"\n#include "config/text.hpp"\n',
    "app/operations/service.cpp": '#include "app/operations/service.hpp"\n'
                                  '#include "app/tls/tls_files.hpp"\n#include "app/server.hpp"\n',
    "app/tls/tls_files.cpp": '#include "app/server.hpp"\n',
    "app/command_line.cpp": '#include "app/client/top.hpp"\n',
    "tests/wait_test.cpp": "std::this_thread::sleep_for(2s);  // the measured interval itself\n"
                           "auto t = std::chrono::steady_clock::now();\n",
}

# file, its text, what the one breach must say
BAD = (
    ("base/clock.cpp", '#include "net/socket.hpp"\n', "base/clock.cpp:1: base may not use net"),
    ("net/socket.cpp", '\n#include "config/config.hpp"\n',
     "net/socket.cpp:2: net may not use config"),
    ("metrics/cells.hpp", '#include "net/socket.hpp"\n', "metrics may not use net"),
    ("proxy/a.cpp", '#include "app/server.hpp"\n', "proxy may not use app"),
    ("proxy/access_log/sink.cpp", '#include "admin/api.hpp"\n', "proxy may not use admin"),
    ("proxy/a.cpp", '#include "session.hpp"\n', "from the root"),
    ("proxy/a.cpp", "#include <boost/asio/post.hpp>\n", "Asio and Beast belongs to"),
    ("balancer/a.cpp", "#include <boost/asio.hpp>\n", "Asio and Beast belongs to"),
    ("app/run.cpp", "#include <toml++/toml.h>\n", "toml++ belongs to config"),
    ("app/run.cpp", "#include <spdlog/spdlog.h>\n", "spdlog belongs to"),
    ("proxy/a.cpp", "auto t = std::chrono::steady_clock::now();\n", "reads a clock"),
    ("app/a.cpp", "/* a\n comment */\nauto t = system_clock::now();\n",
     "app/a.cpp:3: reads a clock"),
    ("app/a.cpp", "using Clock = std::chrono::steady_clock;\nauto t = Clock::now();\n",
     "app/a.cpp:2: reads a clock"),
    ("app/a.cpp", "typedef std::chrono::system_clock Wall;\nauto t = Wall::now();\n",
     "app/a.cpp:2: reads a clock"),
    ("net/a.cpp", "auto t = Timer::clock_type::now();\n", "reads a clock"),
    ("app/a.cpp", "co_spawn(io, f(), asio::detached);\n", "detaches"),
    ("app/a.cpp", "std::thread(f).detach();\n", "detaches"),
    ("balancer/CMakeLists.txt", "penstock_module(balancer PUBLIC penstock::net penstock::proxy)\n",
     "balancer may not link proxy"),
    ("app/client/top.cpp", '#include "app/run.hpp"\n',
     "app/client/top.cpp:1: app/client knows what the API answers, and may not use app/run.hpp"),
    ("app/client/top.cpp", '#include "net/socket.hpp"\n', "may not use net/socket.hpp"),
    ("app/tls/a.cpp", '#include "app/upgrade/b.hpp"\n', "app/tls may not use app/upgrade"),
    ("app/tls/a.cpp", '#include "app/sandbox/b.hpp"\n', "app/tls may not use app/sandbox"),
    ("app/reload/a.cpp", '#include "app/operations/b.hpp"\n',
     "app/reload may not use app/operations"),
    ("app/operations/a.cpp", '#include "app/client/b.hpp"\n',
     "app/operations may not use app/client"),
    ("tests/a_test.cpp", "GTEST_SKIP();\n", "proves nothing"),
    ("tests/a_test.cpp", "TEST(A, DISABLED_b) {}\n", "proves nothing"),
    ("tests/a_test.cpp", "\n\nstd::this_thread::sleep_for(2s);\n", "tests/a_test.cpp:3: sleeps"),
)


def breaches_of(files):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder).resolve()
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return check.Checker(root).run()


class LayeringCheck(unittest.TestCase):
    def test_accepts_what_obeys(self):
        self.assertEqual(breaches_of(GOOD), [])

    def test_rejects_each_breach(self):
        for name, text, message in BAD:
            with self.subTest(name=name, text=text):
                found = breaches_of({**GOOD, name: text})
                self.assertEqual(len(found), 1, found)
                self.assertIn(message, found[0])

    def test_finds_includes_that_go_round(self):
        found = breaches_of({
            "app/a.cpp": '#include "app/a.hpp"\n#include "app/b.hpp"\n',
            "app/b.hpp": '#include "app/c.hpp"\n',
            "app/c.cpp": '#include "app/a.hpp"\n#include "app/d.hpp"\n',
            "app/d.hpp": "",
            "app/leads_there.cpp": '#include "app/a.hpp"\n',
        })
        self.assertEqual(found, ["app/a: includes go round: app/a -> app/b -> app/c -> app/a"])

    def test_names_every_module_once(self):
        self.assertEqual(len(check.ROW_OF), sum(len(row) for row in check.ROWS))


def run():
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(LayeringCheck)
    return 0 if unittest.TextTestRunner().run(suite).wasSuccessful() else 1
