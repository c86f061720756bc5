// What the dashboard decides without a browser: figures, verdicts, the parser of the stream.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import vm from "node:vm";

const folder = new URL("../../../admin/dashboard/", import.meta.url);
const names = "bytesText, rateText, durationText, millisecondsText, percentText, clockText, words, " +
    "backendVerdict, exclusion, upstreamVerdict, troubles, titleText, eventKind, closeTally, " +
    "totalsOf, counters, History, EventParser, problemsOf, splitTexts, oldProcessText, takeover";
const source = ["format.js", "verdict.js", "history.js", "api.js"]
    .map((file) => readFileSync(new URL(file, folder), "utf8")).join("\n");
const page = vm.runInThisContext(`(() => { ${source}\nreturn { ${names} }; })()`);

function table(name, judge, rows) {
    test(name, () => {
        for (const [input, expected] of rows) {
            assert.deepEqual(judge(input), expected, JSON.stringify(input));
        }
    });
}

table("bytes", page.bytesText, [[0, "0 B"], [999, "999 B"], [1000, "1 kB"], [999499, "999 kB"],
    [999600, "1 MB"], [88e6, "88 MB"], [1.234e9, "1.23 GB"], [undefined, "–"], [NaN, "–"]]);
table("rates", page.rateText, [[0, "0"], [0.34, "0.3"], [9.94, "9.9"], [1234.6, "1,235"],
    [null, "–"]]);
table("durations", page.durationText, [[0.4, "0 s"], [59, "59 s"], [192, "3 min 12 s"],
    [3600, "1 h"], [86400 * 12 + 7200 * 2, "12 d 4 h"], [86400 + 5, "1 d"], [-3, "0 s"],
    [undefined, "–"]]);
table("milliseconds", page.millisecondsText, [[0.2, "0.2 ms"], [33.24, "33.2 ms"],
    [999, "999 ms"], [1500, "1.5 s"], [null, "–"]]);
table("shares", page.percentText, [[0, "0 %"], [0.0123, "1.2 %"], [0.314, "31 %"],
    [undefined, "–"]]);

test("the time of day has a date only if it is not today's", () => {
    const now = new Date(2026, 10, 28, 12, 1, 7);
    assert.equal(page.clockText(now, now), "12:01:07");
    assert.equal(page.clockText(new Date(2026, 10, 27, 3, 4, 5), now), "2026-11-27 03:04:05");
    assert.equal(page.clockText(new Date("nonsense"), now), "–");
});

const well = { name: "a", state: "ready", available: true, eligible: true, excluded_by: null,
    override: null, check: { state: "up", last: { ok: true } }, circuit: { state: "closed" } };

table("the verdict on a backend: word, kind, what it counts as", (change) => {
    const { word, kind, trouble } = page.backendVerdict({ ...well, ...change });
    return [word, kind, trouble];
}, [
    [{}, ["up", "good", null]],
    [{ check: { state: "down", last: { ok: false } }, available: false }, ["down", "bad", "down"]],
    [{ circuit: { state: "open", retry_in_s: 7.2 }, available: false },
        ["OPEN 8 s", "bad", "open"]],
    [{ circuit: { state: "open", retry_in_s: null } }, ["OPEN", "bad", "open"]],
    [{ circuit: { state: "open" }, check: { state: "down" } }, ["down", "bad", "down"]],
    [{ circuit: { state: "half_open" } }, ["half-open", "warn", "half-open"]],
    [{ state: "drain", check: { state: "down" } }, ["drain", "aside", null]],
    [{ state: "maintenance" }, ["maintenance", "aside", null]],
    [{ check: { state: "unknown", last: null } }, ["in use", "good", null]],
    [{ check: { state: "up", enabled: false } }, ["in use", "good", null]],
    [{ check: { state: "unknown" }, available: false, eligible: false, excluded_by: "unchecked" },
        ["unknown", "warn", "unknown"]],
    [{ eligible: false, excluded_by: "full" }, ["full", "warn", null]],
    [{ eligible: false, excluded_by: "role" }, ["up, not used", "plain", null]],
    [{ check: undefined, circuit: undefined }, ["in use", "good", null]],
]);

test("the verdict tells details, and does not tell a thing twice", () => {
    const down = { ...well, available: false, excluded_by: "check", check: { state: "down",
        last: { ok: false, error: "refused" } } };
    const verdict = page.backendVerdict(down);
    assert.equal(verdict.detail, "refused");
    assert.equal(page.exclusion(down, verdict), "");
    for (const change of [{ excluded_by: "full", eligible: false },
        { excluded_by: "circuit_open", circuit: { state: "open" } },
        { excluded_by: "unchecked", available: false, check: { state: "unknown" } },
        { excluded_by: "drain", state: "drain" }]) {
        const backend = { ...well, ...change };
        assert.equal(page.exclusion(backend, page.backendVerdict(backend)), "", change.excluded_by);
    }
    assert.match(page.backendVerdict({ ...down, available: true }).detail, /panic/);
    const replica = { ...well, eligible: false, excluded_by: "role" };
    assert.equal(page.exclusion(replica, page.backendVerdict(replica)), "excluded by role");
    for (const override of [{ state: "drain", by: "uid 0" }, "uid 0"]) {
        assert.equal(page.backendVerdict({ ...well, state: "drain", override }).detail, "by uid 0");
    }
    assert.equal(page.backendVerdict({ ...well, slow_start_s_left: 11.5 }).detail,
        "slow start, 12 s left");
});

table("the verdict on an upstream", (change) => {
    const { kind, word } = page.upstreamVerdict({ name: "web", backends: [well, well],
        available: 2, ...change });
    return [kind, word];
}, [
    [{}, ["good", "2 of 2 available"]],
    [{ backends: [well, { ...well, state: "drain" }], available: 1 }, ["good", "1 of 2 available"]],
    [{ backends: [well, { ...well, circuit: { state: "half_open" } }] },
        ["warn", "2 of 2 available"]],
    [{ available: 0 }, ["bad", "none of 2 available"]],
    [{ panic: true }, ["bad", "panic: too few are well, 2 of 2 used"]],
    [{ role_conflict: true }, ["bad", "role conflict: more than one primary"]],
    [{ backends: [], available: 0 }, ["bad", "no backends"]],
    [{ paused: true }, ["aside", "paused: new clients wait"]],
]);

test("troubles come worst first, and the title counts them", () => {
    const upstreams = [{ name: "web", available: 1, backends: [
        { ...well, name: "h", circuit: { state: "half_open" } },
        { ...well, name: "d", check: { state: "down" } }] },
    { name: "pg", available: 0, backends: [{ ...well, name: "o", circuit: { state: "open" } }] }];
    const found = page.troubles(upstreams);
    assert.deepEqual(found.map((each) => each.backend), ["d", null, "o", "h"]);
    assert.equal(page.titleText(true, "running", found),
        "1 down, 1 open, 1 half-open · Penstock");
    assert.equal(page.titleText(true, "draining", []), "draining · Penstock");
    assert.equal(page.titleText(true, "running", [], [{ kind: "warn" }, { kind: "bad" }]),
        "1 problem · Penstock");
    assert.equal(page.titleText(false, "running", found), "No connection · Penstock");
    assert.equal(page.titleText(true, "running", page.troubles([{ name: "e", backends: [] }])),
        "1 upstream in trouble · Penstock");
});

const evening = new Date(2026, 10, 28, 20, 0, 0);
const noon = new Date(2026, 10, 28, 12, 1, 7).toISOString();
const inForce = "The last reload failed (12:01:07); the configuration before it is in force.";

table("what of the configuration needs somebody",
    (status) => page.problemsOf({ status }, evening).map((each) => each.text), [
        [{}, []],
        [{ last_reload: { time: noon, ok: true, errors: [] }, restart_required: [] }, []],
        [{ last_reload: { time: noon, ok: false } }, [inForce]],
        [{ last_reload: { time: noon, ok: false, errors: ["p.toml:1:1: a", "b", "c", "d", "e"] },
            restart_required: ["process.workers", "process.user"] },
        [`${inForce} p.toml:1:1: a; b; c; 2 more`,
            "Takes effect after a restart: process.workers, process.user"]],
        [{ last_reload: null, restart_required: ["process.workers"] },
            ["Takes effect after a restart: process.workers"]],
    ]);

table("what needs somebody beside the backends, and how much", (snapshot) => page
    .problemsOf(snapshot, evening).map((each) => `${each.kind}: ${each.text}`), [
    [{}, []],
    [{ status: { workers: [{ id: 0, stuck: false }, { id: 1, stuck: true }] } },
        ["bad: Worker 1 stands still, and so do its connections"]],
    [{ status: { memory: { overload: true } } },
        ["bad: Memory is short: new connections are refused"]],
    [{ status: { restart_required: ["process.workers"] } },
        ["warn: Takes effect after a restart: process.workers"]],
    [{ status: { sandbox: { missing: ["Landlock: the kernel has none"] } } },
        ["aside: Sandbox: Landlock: the kernel has none"]],
    [{ listeners: [{ name: "in" }, { name: "www", certificates: [
        { file: "/far.pem", s_left: 21 * 86400 }, { file: "/near.pem", s_left: 86400 },
        { file: "/late.pem", s_left: -5 }] }] },
    ["warn: Listener www: certificate /near.pem expires in 1 d",
        "bad: Listener www: certificate /late.pem has expired"]],
    [{ upstreams: [{ name: "web", sources: [{ what: "file /a", last_error: null },
        { what: "dns web.internal", last_error: "Timeout" }] }] },
    ["bad: Upstream web: dns web.internal: Timeout"]],
]);

table("where a listener's clients go", page.splitTexts, [
    [{ upstream: "web" }, ["web"]], [{ upstream: null }, ["–"]],
    [{ upstream: null, split: { v1: 95, v2: 5 }, split_override: null }, ["v1 95, v2 5", ""]],
    [{ split: { v1: 50, v2: 50 }, split_override: "uid 0" }, ["v1 50, v2 50", "by uid 0"]]]);

table("an old process", page.oldProcessText, [
    [{ pid: 4600, version: "1.0.0", connections: 12, s_left: 290 },
        "Old process 4600 (1.0.0): 12 connections, ends in 4 min 50 s"],
    [{ pid: 14600, version: "1.0.0", connections: 1, s_left: null },
        "Old process 14600 (1.0.0): 1 connection"],
    [{}, "Old process – (–): – connections"]]);

table("another process came by an upgrade or a restart", (now) => page.takeover({ pid: 7 }, now), [
    [{ pid: 8, old_processes: [{ pid: 6 }, { pid: 7 }] }, "was upgraded"],
    [{ pid: 8, took_over_from: 7, old_processes: [] }, "was upgraded"],
    [{ pid: 8, took_over_from: 6, old_processes: [{ pid: 6 }] }, "restarted"],
    [{ pid: 8, took_over_from: null }, "restarted"], [{ pid: 8 }, "restarted"]]);

table("what an event means", page.eventKind, [[{ from: "up", to: "down" }, "bad"],
    [{ from: "", to: "open" }, "bad"], [{ to: "none" }, "bad"], [{ to: "half_open" }, "warn"],
    [{ to: "drain" }, "warn"], [{ from: "half_open", to: "closed" }, "good"],
    [{ from: "panic", to: "" }, "good"], [{ from: "panic" }, "good"], [{ to: "added" }, "plain"],
    [{}, "plain"]]);

test("close reasons are counted, the most frequent first", () => {
    const closes = [{ reason: "b", class: "ok" }, { reason: "a", class: "client" },
        { reason: "c", class: "ok" }, { reason: "c", class: "ok" }];
    assert.deepEqual(page.closeTally(closes).map((each) => [each.reason, each.count]),
        [["c", 2], ["a", 1], ["b", 1]]);
});

function snapshot(at, total, toBackend, rates) {
    return { status: { uptime_s: at, connections: { active: 3 } }, listeners: [
        { connections: { total }, bytes: { to_backend: toBackend, to_client: 0 }, rates }] };
}

test("totals are what the server reports, else the difference per second", () => {
    const first = snapshot(10, 100, 1000, { new_per_s: 7 });
    assert.deepEqual(page.totalsOf(first, null),
        { active: 3, accepted: 7, toBackend: undefined, toClient: undefined });
    const second = snapshot(12, 130, 5000, {});
    assert.deepEqual(page.totalsOf(second, page.counters(first)),
        { active: 3, accepted: 15, toBackend: 2000, toClient: 0 });
    // Counters that went back belong to something else.
    assert.equal(page.totalsOf(snapshot(14, 0, 0, {}), page.counters(second)).toBackend, 0);
});

test("the history keeps two minutes, and its line breaks where figures are missing", () => {
    const history = new page.History();
    for (const at of [0, 100, 101, 102, 110, 111, 112]) history.add(at, { active: at });
    const { line, area } = history.paths("active", 112, 120, 36);
    assert.equal(line.split("M").length - 1, 2, line);
    assert.equal(area.split("Z").length - 1, 2, area);
    history.add(221, { active: 5 });
    assert.equal(history.peak("active"), 112);
    history.add(233, { active: 6 });
    assert.equal(history.peak("active"), 6);
});

test("the parser takes events however they are cut", () => {
    const text = ": hello\n\nevent: status\ndata: {\"a\":\ndata: 1}\n\nid: 3\nevent: event\r\n" +
        "data:x\r\n\r\ndata: plain\n\nevent: none\n\ndata: unfinished";
    const expected = [["status", '{"a":\n1}'], ["event", "x"], ["message", "plain"]];
    for (let size = 1; size <= text.length; size += 1) {
        const taken = [];
        const parser = new page.EventParser((event, data) => taken.push([event, data]));
        for (let at = 0; at < text.length; at += size) parser.feed(text.slice(at, at + size));
        assert.deepEqual(taken, expected, `cut every ${size}`);
    }
});
