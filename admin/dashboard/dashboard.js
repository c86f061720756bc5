// The page: ties the stream to the panels. The files of this folder form one script; this one is the
// last.

const api = new Api();

/** The one live region for what is not an event: connection, access, answers to buttons. */
function announce(text) {
    byId("announcer").textContent = text;
}

// --- access -----------------------------------------------------------------------------------

// What the server lets us do: "none", "read", "full", or "token" (accepted, but how far is unknown).
let access = "none";

function mayChange() {
    return access === "full" || access === "token";
}

function setAccess(now, said) {
    access = now;
    const texts = { none: "No access", read: "Access: read", full: "Access: full",
        token: "Access: by token" };
    setText(byId("access"), texts[access]);
    setText(byId("token-button"), api.token ? "Forget token" : "Enter token");
    for (const view of upstreamViews.values()) view.setMayChange(mayChange());
    if (said) announce(said);
}

function showTokenForm(reason) {
    setText(byId("token-reason"), reason);
    setHidden(byId("token-form"), false);
    byId("token-button").setAttribute("aria-expanded", "true");
}

function hideTokenForm() {
    setHidden(byId("token-form"), true);
    byId("token-button").setAttribute("aria-expanded", "false");
    byId("token").value = "";
}

// Asked anew after each connection: another process may have another configuration.
async function askAccess() {
    const status = await api.get("/api/v1/status");
    const known = status.access === "full" || status.access === "read";
    setAccess(known ? status.access : api.token ? "token" : "read");
}

byId("token-button").addEventListener("click", () => {
    if (api.token) {
        api.token = "";
        setAccess("none", "The token is forgotten.");
        feed.again();
    } else if (byId("token-form").hidden) {
        showTokenForm("A token lets you make changes. It is kept until this tab is closed.");
        byId("token").focus();
    } else {
        hideTokenForm();
    }
});

byId("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const token = byId("token").value.trim();
    if (!/^[\x21-\x7e]+$/.test(token)) {
        setText(byId("token-reason"), "A token is one line of printable characters, no spaces.");
        return;
    }
    api.token = token;
    hideTokenForm();
    byId("token-button").focus();
    feed.again();
});

byId("token-form").addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    hideTokenForm();
    byId("token-button").focus();
});

// --- changes ----------------------------------------------------------------------------------

let confirming = { key: "", at: 0 };  // the change that needs a second press, soon

function needsConfirmation(upstream, backend, state) {
    const key = JSON.stringify([upstream, backend.name, state]);
    const last = state !== "ready" && backend.available !== false &&
        (upstreams.find((each) => each.name === upstream)?.available ?? 2) <= 1;
    const now = performance.now();
    const asks = last && (confirming.key !== key || now - confirming.at > answerTime);
    confirming = { key: asks ? key : "", at: now };
    return asks;
}

function refusalText(error) {
    if (!(error instanceof Refusal)) return "The server cannot be reached; nothing was changed.";
    const cure = error.status === 401 ? " Enter a valid token."
        : error.status === 403 ? " Changes need an address with full access." : "";
    return `Refused: ${error.message}.${cure}`;
}

// Returns [kind, text] for the place beside the buttons.
async function change(upstream, backend, state) {
    let answer;
    if (!mayChange()) {
        answer = ["bad", "Refused: you may only read here. Changes need a token."];
    } else if (needsConfirmation(upstream, backend, state)) {
        answer = ["warn", `The last one available in ${upstream}: press again to do it.`];
    } else {
        answer = await requestChange(upstream, backend.name, state);
    }
    announce(`${upstream} / ${backend.name}: ${answer[1]}`);
    return answer;
}

async function requestChange(upstream, backend, state) {
    const path = `/api/v1/upstreams/${encodeURIComponent(upstream)}` +
        `/backends/${encodeURIComponent(backend)}`;
    try {
        await api.post(path, { state });
        const effects = { ready: "Done: it may get connections.",
            drain: "Done: it gets no new connections.",
            maintenance: "Done: it is taken out." };
        return ["good", effects[state]];
    } catch (error) {
        return ["bad", refusalText(error)];
    }
}

// --- panels -----------------------------------------------------------------------------------

const upstreamViews = new Map();
const totals = new Totals(byId("totals"));
const attention = new Attention(byId("attention"),
    (upstream, backend) => upstreamViews.get(upstream)?.idOf(backend));
const listeners = new PlainTable(byId("listeners"), "Listeners", listenerColumns, listenerTexts,
    "listener", "cards");
const workers = new PlainTable(byId("workers"), "Workers", workerColumns, workerTexts, "worker");
const events = new Events(byId("event-log"));
const problemLines = new Lines(byId("problems"));
const oldProcesses = new Lines(byId("old-processes"));
const closes = new Closes(byId("closes"));

let upstreams = [];
let problems = [];  // beside the backends
let status = {};
let live = false;
let lastFigures = null;  // Date
let lostAt = null;  // performance.now() when the connection was lost

function showStatus() {
    setText(byId("version"), status.version ?? unknown);
    setText(byId("pid"), status.pid ?? unknown);
    setText(byId("uptime"), durationText(status.uptime_s));
    const draining = status.state === "draining";
    byId("process-state").dataset.kind = draining ? "warn" : "plain";
    setText(byId("process-state"), status.state ?? unknown);
    oldProcesses.update((status.old_processes ?? []).map(oldProcessText));
}

function showTitle(found) {
    const text = titleText(live, status.state, found, problems);
    if (document.title !== text) document.title = text;
    const bad = [...found, ...problems].some((each) => each.kind === "bad");
    const colour = !live ? "777" : bad ? "c02b1d" : "0f6e84";
    const icon = `data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'` +
        `%3E%3Crect width='16' height='16' rx='4' fill='%23${colour}'/%3E%3Cpath d='M3 5h5l3 6h2' ` +
        `fill='none' stroke='%23fff' stroke-width='2.4'/%3E%3C/svg%3E`;
    setAttribute(byId("icon"), "href", icon);
}

function showSnapshot(snapshot) {
    showStatus();
    totals.update(snapshot, performance.now() / 1000);
    reconcile(byId("upstream-list"), upstreamViews, upstreams, (each) => each.name, (upstream) => {
        const view = new UpstreamView(upstream, change);
        view.setMayChange(mayChange());
        return view;
    });
    const found = troubles(upstreams);
    problems = problemsOf(snapshot, new Date());
    problemLines.update(problems.map((each) => each.text));
    attention.update(upstreams, found, problems);
    listeners.update(snapshot.listeners ?? [], (each) => each.name);
    workers.update(status.workers ?? [], (each) => String(each.id));
    showTitle(found);
}

// --- the stream -------------------------------------------------------------------------------

function isRestart(before, now) {
    return before.pid !== undefined &&
        (before.pid !== now.pid || (now.uptime_s ?? 0) < (before.uptime_s ?? 0));
}

// The first figures after a connection: who is it?
function greet(snapshot) {
    const now = snapshot.status ?? {};
    const time = clockText(new Date(), new Date());
    const away = lostAt === null ? "" : ` after ${durationText((performance.now() - lostAt) / 1000)}`;
    if (isRestart(status, now)) {
        const done = takeover(status, now);
        const pids = `pid ${status.pid} → ${now.pid}`;
        const text = `The process ${done}: ${pids}. Connected again at ${time}${away}.`;
        totals.restart();
        events.restart(`${time} the process ${done}, ${pids}`);
        showNotice(text);
    } else if (lostAt !== null) {
        showNotice(`Connected again at ${time}${away}. It is the same process.`);
    }
    lostAt = null;
    document.body.dataset.live = "yes";
    document.body.dataset.known = "yes";
    hideTokenForm();
    askAccess().catch(() => undefined);
    api.get(`/api/v1/events?since=${events.newest}`).then((past) => events.addPast(past),
        () => undefined);
    loadCloses();
}

function showNotice(text) {
    setText(byId("notice-text"), text);
    setHidden(byId("notice"), false);
    announce(text);
}

byId("notice-close").addEventListener("click", () => {
    setHidden(byId("notice"), true);
    byId("main").focus();
});

let retryAt = null;

function showLink(link) {
    const since = lastFigures ? ` These figures are from ${clockText(lastFigures, new Date())}.` : "";
    const texts = {
        connecting: "Connecting…",
        live: "Live",
        silent: `No news from the server.${since}`,
        lost: `Connection lost: ${link.why}.${since}`,
        denied: `Not admitted: ${link.why}.${since}`,
    };
    const before = byId("link").dataset.state;
    byId("link").dataset.state = link.state;
    byId("link-badge").dataset.kind = { live: "good", connecting: "plain" }[link.state] ?? "bad";
    setText(byId("link-text"), texts[link.state]);
    retryAt = link.retryAt ?? null;
    setHidden(byId("retry"), link.state !== "lost");
    showRetry();
    if (link.state !== before && !["live", "connecting"].includes(link.state)) {
        announce(texts[link.state]);
    }
}

function showRetry() {
    if (retryAt === null) return;
    const left = (retryAt - performance.now()) / 1000;
    setText(byId("retry-text"), left > 0 ? `Next attempt in ${secondsLeft(left)}` : "Trying…");
}
setInterval(showRetry, 500);

const feed = new Feed(api, {
    status(snapshot) {
        if (document.body.dataset.live !== "yes" || isRestart(status, snapshot.status ?? {})) {
            greet(snapshot);
        }
        status = snapshot.status ?? {};
        upstreams = snapshot.upstreams ?? [];
        lastFigures = new Date();
        showSnapshot(snapshot);
    },
    event(event) {
        events.add(event);
    },
    link(link) {
        live = link.state === "live";
        if (!live && document.body.dataset.live === "yes" && link.state !== "silent") {
            lostAt = performance.now();
        }
        if (!live) document.body.dataset.live = link.state === "silent" ? "silent" : "no";
        showLink(link);
        if (link.state === "denied") {
            setAccess("none");
            showTokenForm(api.token ? "The server does not accept this token. Enter another one."
                : "This address asks for a token. Enter the one from its token_file.");
        }
        showTitle(troubles(upstreams));
    },
});

byId("retry-now").addEventListener("click", () => feed.wake());
addEventListener("online", () => feed.wake());
document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") feed.wake();
});

// Reasons are no stream: they are asked for while somebody looks.
function loadCloses() {
    if (!live || document.visibilityState !== "visible") return;
    api.get("/api/v1/closes?limit=200").then((list) => closes.update(list), () => undefined);
}
setInterval(loadCloses, 3000);

feed.run();
