// What to think of a backend, an upstream, the whole. No DOM.
//
// Kinds, from bad to good: "bad" (clients suffer or would), "warn" (not as it should be), "aside"
// (an operator wants it so), "plain" (not in use, and that is right), "good".

const kinds = ["bad", "warn", "aside", "plain", "good"];

/** An override as {state, weight, by}; the server may leave out what is not overridden. */
function overrideOf(backend) {
    const override = backend.override;
    if (override === null || override === undefined) return {};
    if (typeof override !== "object") return { by: String(override) };
    return { state: override.state, weight: override.weight, by: override.by ?? override.actor };
}

function byWhom(override) {
    return override.by ? `by ${override.by}` : "";
}

function administrative(backend) {
    const override = overrideOf(backend);
    return { kind: "aside", word: words(backend.state), detail: byWhom(override), trouble: null };
}

function downVerdict(backend) {
    const forced = backend.available ? "used all the same: panic" : "";
    const error = backend.check?.last?.error ?? "";
    const since = backend.check?.since;
    const note = forced || (since ? `since ${clockText(new Date(since), new Date())}` : "");
    return { kind: "bad", word: "down", detail: forced || error, note, trouble: "down" };
}

function openVerdict(circuit) {
    const left = isNumber(circuit.retry_in_s) ? ` ${secondsLeft(circuit.retry_in_s)}` : "";
    return { kind: "bad", word: `OPEN${left}`, detail: circuit.cause ?? "", trouble: "open" };
}

function upVerdict(backend) {
    const known = backend.check?.state === "up" && backend.check.enabled !== false;
    const start = backend.slow_start_s_left;
    const detail = backend.check?.dispute
        ?? (isNumber(start) && start > 0 ? `slow start, ${secondsLeft(start)} left`
            : known ? "" : "not checked");
    return { kind: "good", word: known ? "up" : "in use", detail, trouble: null };
}

/**
 * {kind, word, detail, note, trouble}: trouble is what it counts as in the title, or null; note is the
 * detail where the last check is shown beside it.
 */
function backendVerdict(backend) {
    const circuit = backend.circuit ?? {};
    if (backend.state && backend.state !== "ready") return administrative(backend);
    if (backend.check?.state === "down") return downVerdict(backend);
    if (circuit.state === "open") return openVerdict(circuit);
    if (circuit.state === "half_open") {
        return { kind: "warn", word: "half-open", detail: "trying a few connections",
            trouble: "half-open" };
    }
    if (backend.check?.state === "unknown" && backend.available === false) {
        return { kind: "warn", word: "unknown", detail: "first check outstanding",
            trouble: "unknown" };
    }
    if (backend.excluded_by === "full") {
        return { kind: "warn", word: "full", detail: "all its connections are taken",
            trouble: null };
    }
    if (backend.eligible === false || backend.available === false) {
        return { kind: "plain", word: backend.check?.state === "up" ? "up, not used" : "not used",
            detail: "", trouble: null };
    }
    return upVerdict(backend);
}

/** Why it gets no connections, if its word does not say that already. */
function exclusion(backend, verdict) {
    const by = backend.excluded_by;
    if (!by) return "";
    const text = words(by);
    const said = `${verdict.word} ${verdict.detail}`.toLowerCase();
    const synonyms = { check: "down", down: "down", "check down": "down", circuit: "open",
        breaker: "open", "circuit open": "open", unchecked: "unknown" };
    return said.includes(synonyms[text] ?? text) ? "" : `excluded by ${text}`;
}

/** {kind, word}. */
function upstreamVerdict(upstream) {
    const backends = upstream.backends ?? [];
    if (upstream.paused) return { kind: "aside", word: "paused: new clients wait" };
    if (backends.length === 0) return { kind: "bad", word: "no backends" };
    const all = backends.length;
    const available = upstream.available ?? backends.filter((each) => each.available).length;
    if (available === 0) return { kind: "bad", word: `none of ${all} available` };
    if (upstream.role_conflict) return { kind: "bad", word: "role conflict: more than one primary" };
    if (upstream.panic) {
        return { kind: "bad", word: `panic: too few are well, ${available} of ${all} used` };
    }
    const sick = backends.some((each) => backendVerdict(each).trouble);
    return { kind: sick ? "warn" : "good", word: `${available} of ${all} available` };
}

/** All that needs somebody: [{key, upstream, backend, kind, word, detail}], the worst first. */
function troubles(upstreams) {
    const found = [];
    for (const upstream of upstreams) {
        const whole = upstreamVerdict(upstream);
        if (whole.kind === "bad") {
            found.push({ upstream: upstream.name, backend: null, kind: "bad", word: whole.word,
                detail: "", trouble: "unavailable" });
        }
        for (const backend of upstream.backends ?? []) {
            const verdict = backendVerdict(backend);
            if (!verdict.trouble) continue;
            found.push({ upstream: upstream.name, backend: backend.name, ...verdict });
        }
    }
    for (const each of found) each.key = JSON.stringify([each.upstream, each.backend]);
    return found.sort((a, b) => kinds.indexOf(a.kind) - kinds.indexOf(b.kind));
}

const mostReloadErrors = 3;
const certificateDays = 21;

function reloadProblems(status, now) {
    const found = [];
    const reload = status.last_reload;
    if (reload?.ok === false) {
        const errors = (reload.errors ?? []).map(detailText);
        const shown = errors.slice(0, mostReloadErrors);
        if (errors.length > shown.length) shown.push(`${errors.length - shown.length} more`);
        found.push(["bad", `The last reload failed (${clockText(new Date(reload.time), now)}); ` +
            `the configuration before it is in force. ${shown.join("; ")}`.trimEnd()]);
    }
    if (status.restart_required?.length > 0) {
        found.push(["warn", `Takes effect after a restart: ${status.restart_required
            .map(detailText).join(", ")}`]);
    }
    return found;
}

function workerProblems(status) {
    return (status.workers ?? []).filter((each) => each.stuck).map((each) =>
        ["bad", `Worker ${each.id} stands still, and so do its connections`]);
}

function certificateProblems(listener) {
    const found = [];
    for (const certificate of listener.certificates ?? []) {
        const left = certificate.s_left;
        if (!isNumber(left) || left >= certificateDays * 86400) continue;
        const when = left <= 0 ? "has expired" : `expires in ${durationText(left)}`;
        found.push([left <= 0 ? "bad" : "warn",
            `Listener ${listener.name}: certificate ${certificate.file} ${when}`]);
    }
    return found;
}

function sourceProblems(upstream) {
    return (upstream.sources ?? []).filter((each) => each.last_error).map((each) =>
        ["bad", `Upstream ${upstream.name}: ${each.what}: ${each.last_error}`]);
}

/**
 * What somebody has to look after beside the backends, as [{kind, text}]. Kind "aside": nobody has
 * to, but it is not as it could be.
 */
function problemsOf({ status = {}, listeners = [], upstreams = [] }, now) {
    const overload = status.memory?.overload
        ? [["bad", "Memory is short: new connections are refused"]] : [];
    const missing = (status.sandbox?.missing ?? []).map((each) => ["aside", `Sandbox: ${each}`]);
    return [...reloadProblems(status, now), ...workerProblems(status), ...overload,
        ...listeners.flatMap(certificateProblems), ...upstreams.flatMap(sourceProblems), ...missing]
        .map(([kind, text]) => ({ kind, text }));
}

/** The weights of a listener's split, as [main, sub]; who has set them is the sub. */
function splitTexts(listener) {
    const weights = Object.entries(listener.split ?? {});
    if (weights.length === 0) return [listener.upstream || unknown];
    return [weights.map(([name, weight]) => `${name} ${weight}`).join(", "),
        listener.split_override ? `by ${listener.split_override}` : ""];
}

/** A process from before an upgrade, in a sentence. */
function oldProcessText(process) {
    const left = isNumber(process.s_left) ? `, ends in ${secondsLeft(process.s_left)}` : "";
    return `Old process ${process.pid ?? unknown} (${process.version ?? unknown}): ` +
        `${plural(process.connections, "connection", "connections")}${left}`;
}

/** How another process came to answer: an upgrade takes over from the one before. */
function takeover(before, now) {
    const took = [now.took_over_from, ...(now.old_processes ?? []).map((each) => each.pid)];
    return took.includes(before.pid) ? "was upgraded" : "restarted";
}

/** What the browser's tab says. */
function titleText(live, state, found, problems = []) {
    if (!live) return "No connection · Penstock";
    const amount = (trouble) => found.filter((each) => each.trouble === trouble).length;
    const parts = ["down", "open", "half-open", "unknown"].filter((trouble) => amount(trouble) > 0)
        .map((trouble) => `${amount(trouble)} ${trouble}`);
    if (parts.length === 0 && amount("unavailable") > 0) {
        parts.push(plural(amount("unavailable"), "upstream in trouble", "upstreams in trouble"));
    }
    const bad = problems.filter((each) => each.kind === "bad").length;
    if (bad > 0) parts.push(plural(bad, "problem", "problems"));
    if (state === "draining") parts.push("draining");
    return parts.length > 0 ? `${parts.join(", ")} · Penstock` : "Penstock";
}

/** "good", "bad", "warn" or "plain": what an event means, by what it leads to. */
function eventKind(event) {
    const to = String(event.to ?? "");
    if (to === "" && /^(panic|conflict)/.test(event.from ?? "")) return "good";
    if (/^(down|open|none|panic|conflict|failed|refused|error)/.test(to)) return "bad";
    if (/^(half_open|drain|maintenance|unknown)/.test(to)) return "warn";
    if (/^(up|closed|ready|available|ok|applied)/.test(to)) return "good";
    return "plain";
}

/** The classes of close reasons, and who has to look. */
function closeKind(name) {
    return { ok: "good", client: "plain", policy: "plain", operator: "aside", backend: "bad",
        proxy: "bad" }[name] ?? "plain";
}

/** [{reason, class, count}], the most frequent first. */
function closeTally(closes) {
    const tally = new Map();
    for (const each of closes) {
        const reason = each.reason ?? "unknown";
        const entry = tally.get(reason) ?? { reason, class: each.class ?? "", count: 0 };
        entry.count += 1;
        tally.set(reason, entry);
    }
    return [...tally.values()].sort((a, b) => b.count - a.count || (a.reason < b.reason ? -1 : 1));
}
