// Everything around the backends: totals, what needs somebody, workers, listeners, events, reasons.

const eventLimit = 200;
const attentionLimit = 8;

class Totals {
    #history = new History();
    #tiles = new Map();
    #before = null;

    constructor(root) {
        const tiles = [["active", "Active connections"], ["accepted", "New per second"],
            ["toClient", "To clients"], ["toBackend", "To backends"]];
        for (const [name, title] of tiles) {
            const value = el("dd", { class: "value", "data-testid": `total-${name}` }, unknown);
            const note = el("dd", { class: "sub" });
            const area = svgEl("path", { class: "area" });
            const line = svgEl("path", { class: "line", "vector-effect": "non-scaling-stroke" });
            const graph = svgEl("svg", { viewBox: "0 0 240 36", preserveAspectRatio: "none",
                "aria-hidden": "true", focusable: "false" });
            graph.append(area, line);
            root.append(el("div", { class: "card tile" },
                el("dl", {}, el("dt", {}, title), value, note), graph));
            this.#tiles.set(name, { value, note, area, line });
        }
    }

    /** Another process counts from zero. */
    restart() {
        this.#before = null;
    }

    update(snapshot, now) {
        const totals = totalsOf(snapshot, this.#before);
        this.#before = counters(snapshot);
        this.#history.add(now, totals);
        const limit = snapshot.status?.connections?.limit;
        const texts = { active: countText, accepted: rateText, toClient: bytesRateText,
            toBackend: bytesRateText };
        for (const [name, tile] of this.#tiles) {
            const peak = `peak ${texts[name](this.#history.peak(name))} in 2 min`;
            const parts = name === "active" && limit > 0 ? [`of ${countText(limit)}`, peak] : [peak];
            setText(tile.value, texts[name](totals[name]));
            setText(tile.note, parts.join(" · "));
            const { line, area } = this.#history.paths(name, now, 240, 36);
            tile.line.setAttribute("d", line);
            tile.area.setAttribute("d", area);
        }
        const cause = snapshot.status?.connections?.limit_cause;
        this.#tiles.get("active").note.title = cause ? `limit: ${cause}` : "";
    }
}

/** What needs somebody, above all else, with links to the rows. */
class Attention {
    #views = new Map();
    #state = badge();

    constructor(root, idOf) {
        this.root = root;
        this.idOf = idOf;
        this.list = el("ul");
        this.more = el("p", { class: "sub" });
        this.summary = el("p", { class: "summary", "data-testid": "summary" }, this.#state.root);
        root.append(this.summary, this.list, this.more);
    }

    /** `found`: of the backends. `problems`: beside them, shown elsewhere. */
    update(upstreams, found, problems) {
        const backends = sum(upstreams.map((each) => each.backends?.length ?? 0));
        const kindsOfAll = [...found, ...problems].map((each) => each.kind);
        const count = kindsOfAll.filter((kind) => kind !== "aside").length;
        const worst = ["bad", "warn"].find((kind) => kindsOfAll.includes(kind)) ?? "good";
        setAttribute(this.root, "data-kind", worst);
        const all = `${plural(backends, "backend", "backends")} in ` +
            plural(upstreams.length, "upstream", "upstreams");
        this.#state.set(worst, count === 0 ? `All is well: ${all}`
            : `${plural(count, "thing needs", "things need")} attention · ${all}`);
        reconcile(this.list, this.#views, found.slice(0, attentionLimit), (each) => each.key,
            () => this.#item());
        const rest = found.length - attentionLimit;
        setText(this.more, rest > 0 ? `and ${countText(rest)} more below` : "");
        setHidden(this.more, rest <= 0);
    }

    #item() {
        const place = el("a");
        const state = badge();
        const detail = el("span", { class: "sub" });
        const root = el("li", { "data-testid": "trouble" }, state.root, place, detail);
        return { root, update: (trouble) => {
            setText(place, trouble.backend === null ? trouble.upstream
                : `${trouble.upstream} / ${trouble.backend}`);
            setAttribute(place, "href", `#${this.idOf(trouble.upstream, trouble.backend) ?? ""}`);
            state.set(trouble.kind, trouble.word);
            setText(detail, trouble.detail);
        } };
    }
}

/** A list of sentences, hidden while there is none. */
class Lines {
    #views = new Map();

    constructor(root) {
        this.root = root;
    }

    update(sentences) {
        reconcile(this.root, this.#views, sentences, (each) => each, () => {
            const root = el("li");
            return { root, update: (sentence) => setText(root, sentence) };
        });
        setHidden(this.root, sentences.length === 0);
    }
}

/** A table whose rows are `texts(item)`, a list of [main, sub] for each column. */
class PlainTable {
    #views = new Map();

    constructor(root, caption, columns, texts, testId, layout = "") {
        const { table, body } = tableOf(caption, columns);
        this.columns = columns;
        this.texts = texts;
        this.body = body;
        this.testId = testId;
        root.append(el("div", { class: `scroll ${layout}`, tabindex: "0", role: "region",
            "aria-label": `Table of ${caption.toLowerCase()}` }, table));
    }

    update(items, keyOf) {
        reconcile(this.body, this.#views, items, keyOf, () => {
            const { row, cells } = rowOf(this.columns);
            row.dataset.testid = this.testId;
            return { root: row, update: (item) => {
                this.texts(item).forEach((text, index) => fill(cells[index], ...text));
            } };
        });
    }
}

const listenerColumns = [{ title: "Listener" }, { title: "Upstream" },
    { title: "Connections", class: "number" }, { title: "New/s", class: "number" },
    { title: "To clients", class: "number" }, { title: "Refused", class: "number" }];

function listenerTexts(listener) {
    const connections = listener.connections ?? {};
    return [
        [listener.name, [...listener.bind ?? [], listener.draining ? "draining" : ""]
            .filter(Boolean).join(", ")],
        splitTexts(listener),
        [ofLimit(connections.active, connections.limit), `${countText(connections.total)} in all`],
        [rateText(listener.rates?.new_per_s)],
        [bytesRateText(listener.rates?.to_client_bytes_per_s)],
        [countText(connections.refused)],
    ];
}

const workerColumns = [{ title: "Worker" }, { title: "Connections", class: "number" },
    { title: "Busy", class: "number" }, { title: "Lag", class: "number" }];

function workerTexts(worker) {
    return [[String(worker.id)], [countText(worker.connections)], [percentText(worker.busy)],
        [millisecondsText(worker.lag_ms)]];
}

/** Newest first, at most `eventLimit`; past and present may come twice and in any order. */
class Events {
    #items = [];  // [{seq, root}], newest first
    #empty = el("p", { class: "empty" }, "Nothing has happened yet.");

    constructor(root) {
        this.root = root;
        this.list = el("ol");
        root.append(this.list, this.#empty);
    }

    get newest() {
        return this.#items.find((each) => each.seq !== null)?.seq ?? 0;
    }

    /** Numbers begin anew; what came before stays, below a line that says so. */
    restart(text) {
        for (const item of this.#items) item.seq = null;
        this.#insert({ seq: null, root: el("li", { class: "break" }, text) }, 0);
    }

    /** Many at once are no news: nothing is read out. */
    addPast(events) {
        this.root.setAttribute("aria-busy", "true");
        for (const event of events) this.add(event);
        this.root.removeAttribute("aria-busy");
    }

    add(event) {
        const place = this.#items.findIndex((each) => each.seq === null || each.seq <= event.seq);
        if (place >= 0 && this.#items[place].seq === event.seq) return;
        this.#insert({ seq: event.seq, root: this.#item(event) },
            place < 0 ? this.#items.length : place);
    }

    #insert(item, place) {
        this.list.insertBefore(item.root, this.#items[place]?.root ?? null);
        this.#items.splice(place, 0, item);
        while (this.#items.length > eventLimit) this.#items.pop().root.remove();
        setHidden(this.#empty, this.#items.length > 0);
    }

    #item(event) {
        const sign = badge();
        const turn = [...new Set([event.from, event.to])].filter(Boolean).map(words).join(" → ");
        sign.set(eventKind(event), words(event.kind ?? "event"));
        const place = [event.listener, event.upstream, event.backend].filter(Boolean).join(" / ");
        const time = new Date(event.time);
        return el("li", { "data-testid": "event" },
            el("time", { datetime: event.time ?? "" }, clockText(time, new Date())), " ",
            sign.root, " ", el("strong", {}, place), " ", el("span", {}, turn), " ",
            el("span", { class: "sub" }, [event.detail, event.actor ? `by ${event.actor}` : ""]
                .filter(Boolean).join(" · ")));
    }
}

/** How the last connections ended. */
class Closes {
    #views = new Map();

    constructor(root) {
        this.list = el("ul", { class: "bars" });
        this.note = el("p", { class: "sub" }, "No connection has ended yet.");
        root.append(this.note, this.list);
    }

    update(closes) {
        const tally = closeTally(closes);
        setText(this.note, closes.length === 0 ? "No connection has ended yet."
            : `Of the last ${plural(closes.length, "connection that", "connections that")} ended`);
        reconcile(this.list, this.#views, tally, (each) => each.reason, () => this.#bar());
        for (const each of tally) {
            this.#views.get(each.reason).bar.style.inlineSize =
                `${Math.max(1, (100 * each.count) / tally[0].count)}%`;
        }
    }

    #bar() {
        const name = el("span", { class: "main" });
        const amount = el("span", { class: "amount" });
        const bar = el("span", { class: "bar", "aria-hidden": "true" });
        const root = el("li", { "data-testid": "reason" }, name, amount, bar);
        return { root, bar, update: (entry) => {
            setText(name, entry.class ? `${words(entry.reason)} (${entry.class})`
                : words(entry.reason));
            setText(amount, countText(entry.count));
            setAttribute(root, "data-kind", closeKind(entry.class));
        } };
    }
}
