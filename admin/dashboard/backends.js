// The upstreams, each with the table of its backends.

const backendColumns = [
    { title: "Backend" },
    { title: "State", class: "state" },
    { title: "Last check" },
    { title: "Breaker" },
    { title: "Weight", class: "number" },
    { title: "Connections", class: "number" },
    { title: "New/s", class: "number" },
    { title: "Connect", note: "p50 / p99 ms", class: "number" },
    { title: "First byte", note: "p50 / p99 ms", class: "number" },
    { title: "Failures", class: "number" },
    { title: "Change", class: "actions" },
];
const states = [["ready", "Ready"], ["drain", "Drain"], ["maintenance", "Maintenance"]];
const answerTime = 10000;  // ms for which a question beside the buttons stands
let rowNumber = 0;

function checkText(backend) {
    const last = backend.check?.last;
    if (backend.check?.enabled === false) return ["not checked", ""];
    if (!last) return ["none yet", ""];
    const at = last.time ? `at ${clockText(new Date(last.time), new Date())}` : "";
    if (last.ok) return [`ok, ${millisecondsText(last.ms)}`, at];
    return [last.error ?? "failed", at];
}

function breakerText(circuit) {
    if (!circuit?.state) return [unknown, ""];
    if (circuit.state !== "open") return [words(circuit.state), ""];
    const left = isNumber(circuit.retry_in_s) ? `${secondsLeft(circuit.retry_in_s)} left` : "";
    return ["open", left];
}

function weightText(backend) {
    const effective = backend.effective_weight;
    const notes = [];
    if (isNumber(effective) && Math.abs(effective - backend.weight) > 0.005) {
        notes.push(`${figure(effective)} effective`);
    }
    const override = overrideOf(backend);
    if (isNumber(override.weight)) notes.push(`override ${byWhom(override)}`.trim());
    return [countText(backend.weight), notes.join(", ")];
}

function connectionsText(connections) {
    const notes = [];
    if (connections?.warm > 0) notes.push(`${countText(connections.warm)} warm`);
    if (connections?.connecting > 0) notes.push(`${countText(connections.connecting)} connecting`);
    return [ofLimit(connections?.active, connections?.limit), notes.join(", ")];
}

function failuresText(failures) {
    const kindsOf = Object.entries(failures ?? {}).filter(([, amount]) => amount > 0);
    if (!failures) return [unknown, ""];
    return [countText(sum(kindsOf.map(([, amount]) => amount))),
        kindsOf.map(([kind, amount]) => `${countText(amount)}\u00a0${words(kind)}`).join(", ")];
}

function percentilesText(percentiles) {
    if (!isNumber(percentiles?.p50)) return unknown;
    return `${plainMilliseconds(percentiles.p50)} / ${plainMilliseconds(percentiles.p99)}`;
}

function tagsText(backend) {
    const tags = [];
    const role = backend.check?.role ?? backend.role;
    if (role) tags.push(role);
    if (backend.tier > 0) tags.push(`tier ${backend.tier}`);
    return tags.join(", ");
}

class BackendRow {
    #tag = el("span", { class: "tag" });
    #state = badge();
    #buttons = new Map();
    #outcome = el("span", { class: "outcome", "data-testid": "outcome" });
    #last = null;
    #done = null;  // {state, seen}: the change that is said to be done

    /** `change(upstream, backend, state)` resolves to what is to be said beside the buttons. */
    constructor(upstream, backend, change) {
        const { row, cells } = rowOf(backendColumns);
        this.root = row;
        this.cells = cells;
        rowNumber += 1;
        row.id = `b${rowNumber}`;
        row.tabIndex = -1;
        row.dataset.testid = "backend";
        row.dataset.backend = backend.name;
        cells[0].main.after(this.#tag);
        cells[1].main.append(this.#state.root);
        this.#addButtons(upstream, backend.name, change);
    }

    #addButtons(upstream, name, change) {
        const group = el("span", { class: "segments", role: "group",
            "aria-label": `State of ${name} in ${upstream}` });
        for (const [state, label] of states) {
            const button = el("button", { type: "button", "data-testid": state,
                "aria-label": `${label}: ${name} in ${upstream}` }, label);
            button.addEventListener("click", async () => {
                this.#say("wait", "asking…");
                const [kind, text] = await change(this.#last, state);
                this.#say(kind, text);
                if (kind === "good") this.#done = { state, seen: false };
                if (kind === "warn") setTimeout(() => this.#unsay(text), answerTime);
            });
            this.#buttons.set(state, button);
            group.append(button);
        }
        this.cells[10].main.append(group);
        this.cells[10].sub.replaceWith(this.#outcome);
    }

    #say(kind, text) {
        this.#done = null;
        setAttribute(this.#outcome, "data-kind", kind);
        setText(this.#outcome, text);
    }

    #unsay(text) {
        if (this.#outcome.textContent === text) this.#say("wait", "");
    }

    // What was done is said until it is no longer so. Figures may be a little older than an answer.
    #forget(state) {
        if (this.#done === null) return;
        if (this.#done.state === state) this.#done.seen = true;
        else if (this.#done.seen) this.#say("wait", "");
    }

    setMayChange(may) {
        for (const button of this.#buttons.values()) setAttribute(button, "aria-disabled", !may);
    }

    update(backend) {
        this.#last = backend;
        const verdict = backendVerdict(backend);
        const [name, state, check, breaker, weight, connections, rate, connect, first,
            failures] = this.cells;
        setAttribute(this.root, "data-kind", verdict.kind);
        fill(name, backend.name, backend.address === backend.name ? "" : backend.address ?? "");
        setText(this.#tag, tagsText(backend));
        this.#state.set(verdict.kind, verdict.word);
        setText(state.sub, [verdict.note ?? verdict.detail, exclusion(backend, verdict)]
            .filter(Boolean).join("; "));
        fill(check, ...checkText(backend));
        setAttribute(check.cell, "data-failed", backend.check?.last?.ok === false);
        fill(breaker, ...breakerText(backend.circuit));
        fill(weight, ...weightText(backend));
        fill(connections, ...connectionsText(backend.connections));
        fill(rate, rateText(backend.rates?.new_per_s));
        fill(connect, percentilesText(backend.connect_ms));
        fill(first, percentilesText(backend.first_byte_ms));
        fill(failures, ...failuresText(backend.failures));
        for (const [word, button] of this.#buttons) {
            setAttribute(button, "aria-pressed", backend.state === word);
        }
        this.#forget(backend.state);
    }
}

class UpstreamView {
    #heading = el("h3");
    #facts = el("p", { class: "facts" });
    #state = badge();
    #rows = new Map();

    constructor(upstream, change) {
        this.change = change;
        this.mayChange = false;
        const id = `upstream-${rowNumber}-${Math.random().toString(36).slice(2)}`;
        this.#heading.id = id;
        const { table, body } = tableOf(`Backends of upstream ${upstream.name}`, backendColumns);
        this.body = body;
        this.empty = el("p", { class: "empty" }, "It has no backends: clients of it are refused. " +
            "Where they come from a name or a file, none was found there.");
        this.box = el("div", { class: "scroll cards", tabindex: "0", role: "region",
            "aria-label": `Table of ${upstream.name}` }, table);
        this.root = el("section", { class: "card upstream", "aria-labelledby": id,
            "data-testid": "upstream", "data-upstream": upstream.name },
            el("div", { class: "head" }, this.#heading, this.#state.root, this.#facts),
            this.box, this.empty);
    }

    update(upstream) {
        const backends = upstream.backends ?? [];
        const verdict = upstreamVerdict(upstream);
        setText(this.#heading, upstream.name);
        setAttribute(this.root, "data-kind", verdict.kind);
        this.#state.set(verdict.kind, verdict.word);
        const facts = [words(upstream.balance ?? "")];
        if (upstream.queue?.length > 0) {
            facts.push(`${ofLimit(upstream.queue.length, upstream.queue.limit)} waiting in line`);
        }
        if (upstream.held > 0) facts.push(`${countText(upstream.held)} held`);
        setText(this.#facts, facts.filter(Boolean).join(" · "));
        setHidden(this.box, backends.length === 0);
        setHidden(this.empty, backends.length > 0);
        reconcile(this.body, this.#rows, backends, (each) => each.name, (backend) => {
            const row = new BackendRow(upstream.name, backend,
                (last, state) => this.change(upstream.name, last, state));
            row.setMayChange(this.mayChange);
            return row;
        });
    }

    setMayChange(may) {
        this.mayChange = may;
        for (const row of this.#rows.values()) row.setMayChange(may);
    }

    idOf(backend) {
        return backend === null ? this.#heading.id : this.#rows.get(backend)?.root.id;
    }
}
