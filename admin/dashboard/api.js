// The door to the server: requests, and the stream of server-sent events.

const tokenKey = "penstock-token";
const silenceLimit = 4000;  // ms without figures, which come each second
const longestPause = 10000;  // ms between attempts to connect

/** A refusal, in the server's words where there are any. */
class Refusal extends Error {
    constructor(status, message) {
        super(message);
        this.status = status;
    }
}

function detailText(detail) {
    return typeof detail === "string" ? detail : detail?.message ?? JSON.stringify(detail);
}

async function refusalOf(response) {
    let body = null;
    try {
        body = await response.json();
    } catch {
        // not the API's own answer
    }
    const details = Array.isArray(body?.details) ? body.details.map(detailText) : [];
    const message = [body?.error ?? `status ${response.status}`, ...details].join("; ");
    return new Refusal(response.status, message);
}

class Api {
    get token() {
        return sessionStorage.getItem(tokenKey) ?? "";
    }

    set token(value) {
        if (value) sessionStorage.setItem(tokenKey, value);
        else sessionStorage.removeItem(tokenKey);
    }

    /** The response, whose status is 200; else throws a Refusal, or what fetch throws. */
    async open(path, options = {}) {
        const headers = { ...options.headers };
        if (this.token) headers.Authorization = `Bearer ${this.token}`;
        const response = await fetch(path, { cache: "no-store", ...options, headers });
        if (!response.ok) throw await refusalOf(response);
        return response;
    }

    async get(path) {
        return (await this.open(path, { signal: AbortSignal.timeout(10000) })).json();
    }

    async post(path, body) {
        await this.open(path, { method: "POST", body: JSON.stringify(body),
            headers: { "Content-Type": "application/json" }, signal: AbortSignal.timeout(10000) });
    }
}

/** Cuts a stream of text into server-sent events: (event, data) for each. */
class EventParser {
    #rest = "";
    #event = "";
    #data = [];

    constructor(take) {
        this.take = take;
    }

    feed(text) {
        const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
        this.#rest = lines.pop();
        for (const line of lines) this.#line(line);
    }

    #line(line) {
        if (line === "") {
            if (this.#data.length > 0) this.take(this.#event || "message", this.#data.join("\n"));
            this.#event = "";
            this.#data = [];
            return;
        }
        const [, name, value] = /^([^:]*):? ?(.*)$/s.exec(line);
        if (name === "event") this.#event = value;
        else if (name === "data") this.#data.push(value);
    }
}

/**
 * Keeps the stream open for ever. `listener` hears of status(snapshot), event(event), and
 * link({state, why, retryAt}): connecting, live, silent (open, but no figures come), lost (tries
 * again at retryAt), denied (tries again when told to).
 */
class Feed {
    #failures = 0;
    #wake = null;
    #abort = null;
    #lastStatus = 0;
    #state = "";

    constructor(api, listener) {
        this.api = api;
        this.listener = listener;
        setInterval(() => this.#watch(), 500);
    }

    async run() {
        for (;;) {
            const why = await this.#read();
            if (why instanceof Refusal && why.status === 401) {
                this.#tell({ state: "denied", why: why.message });
                await new Promise((resolve) => { this.#wake = resolve; });
                continue;
            }
            const pause = Math.min(longestPause, 500 * 2 ** this.#failures);
            this.#failures += 1;
            const wait = pause * (0.75 + Math.random() / 2);
            this.#tell({ state: "lost", why: why.message, retryAt: performance.now() + wait });
            await new Promise((resolve) => {
                this.#wake = resolve;
                setTimeout(resolve, wait);
            });
        }
    }

    /** Connects now: ends a pause, or the present stream. */
    again() {
        this.#failures = 0;
        this.#abort?.abort(new Error("connecting anew"));
        this.#wake?.();
    }

    /** Ends a pause only. */
    wake() {
        this.#wake?.();
    }

    // Reads until the stream ends; returns why.
    async #read() {
        this.#abort = new AbortController();
        if (this.#state !== "lost") this.#tell({ state: "connecting" });
        this.#lastStatus = performance.now();
        try {
            const response = await this.api.open("/api/v1/stream", {
                signal: this.#abort.signal, headers: { Accept: "text/event-stream" } });
            await this.#pump(response.body.getReader());
            return new Error("the server ended the stream");
        } catch (error) {
            return error instanceof Refusal ? error : new Error(this.#reason(error));
        } finally {
            this.#abort = null;
        }
    }

    #reason(error) {
        const silent = this.#abort?.signal.aborted;
        return silent ? String(this.#abort.signal.reason?.message ?? "ended")
            : "the server cannot be reached";
    }

    async #pump(reader) {
        const decoder = new TextDecoder();
        const parser = new EventParser((event, data) => this.#take(event, data));
        for (;;) {
            const { done, value } = await reader.read();
            if (done) return;
            parser.feed(decoder.decode(value, { stream: true }));
        }
    }

    #take(event, data) {
        const value = JSON.parse(data);
        if (event === "status") {
            this.#lastStatus = performance.now();
            this.#failures = 0;
            this.#tell({ state: "live" });
            this.#call("status", value);
        } else if (event === "event") {
            this.#call("event", value);
        }
    }

    // A mistake of the page is shown in the console; it does not end the stream.
    #call(name, value) {
        try {
            this.listener[name](value);
        } catch (error) {
            reportError(error);
        }
    }

    // A server that stands still, or a path that swallows everything, closes no connection.
    #watch() {
        if (!this.#abort) return;
        const silence = performance.now() - this.#lastStatus;
        if (silence > 3 * silenceLimit) {
            this.#abort.abort(new Error("the server has said nothing for a while"));
        } else if (silence > silenceLimit && this.#state === "live") {
            this.#tell({ state: "silent" });
        }
    }

    #tell(link) {
        if (link.state === this.#state && link.state !== "lost") return;
        this.#state = link.state;
        this.listener.link(link);
    }
}
