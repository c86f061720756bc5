// The last two minutes of the totals, computed from the stream. Pure.

const historySeconds = 120;

function sum(values) {
    return values.reduce((total, value) => total + (isNumber(value) ? value : 0), 0);
}

function counters(snapshot) {
    const listeners = snapshot.listeners ?? [];
    return {
        at: snapshot.status?.uptime_s,
        accepted: sum(listeners.map((each) => each.connections?.total)),
        toBackend: sum(listeners.map((each) => each.bytes?.to_backend)),
        toClient: sum(listeners.map((each) => each.bytes?.to_client)),
    };
}

/** The sum of a rate that each listener reports; undefined unless all do. */
function reported(listeners, name) {
    const values = listeners.map((each) => each.rates?.[name]);
    return values.length > 0 && values.every(isNumber) ? sum(values) : undefined;
}

/**
 * Totals of one snapshot: {active, accepted, toBackend, toClient}, the last three per second. What
 * the server does not report as a rate is the difference from `before`, the earlier counters.
 */
function totalsOf(snapshot, before) {
    const now = counters(snapshot);
    const listeners = snapshot.listeners ?? [];
    const seconds = before ? now.at - before.at : 0;
    const difference = (name) =>
        seconds > 0 ? Math.max(0, now[name] - before[name]) / seconds : undefined;
    return {
        active: snapshot.status?.connections?.active,
        accepted: reported(listeners, "new_per_s") ?? difference("accepted"),
        toBackend: reported(listeners, "to_backend_bytes_per_s") ?? difference("toBackend"),
        toClient: reported(listeners, "to_client_bytes_per_s") ?? difference("toClient"),
    };
}

class History {
    #samples = [];

    /** `at` in seconds of a clock that goes on while nothing comes. */
    add(at, totals) {
        this.#samples.push({ at, ...totals });
        while (this.#samples[0].at < at - historySeconds) this.#samples.shift();
    }

    /** The largest value of one total. */
    peak(name) {
        return Math.max(0, ...this.#samples.map((each) => each[name]).filter(isNumber));
    }

    /**
     * The line and the area below it as SVG paths in a box of `width` by `height`, now at the right
     * edge. Where figures are missing for more than 3 s the line is interrupted.
     */
    paths(name, now, width, height) {
        const top = this.peak(name) || 1;
        let line = "";
        let area = "";
        let run = [];
        const flush = () => {
            if (run.length > 1) {
                const points = run.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L");
                line += `M${points}`;
                area += `M${run[0][0].toFixed(1)} ${height}L${points}` +
                    `L${run.at(-1)[0].toFixed(1)} ${height}Z`;
            }
            run = [];
        };
        let last = null;
        for (const sample of this.#samples) {
            if (last !== null && sample.at - last > 3) flush();
            last = sample.at;
            if (!isNumber(sample[name])) continue;
            const x = width * (1 - (now - sample.at) / historySeconds);
            run.push([Math.max(0, x), 1.5 + (height - 3) * (1 - sample[name] / top)]);
        }
        flush();
        return { line, area };
    }
}
