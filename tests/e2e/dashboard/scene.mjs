// What the tests of the dashboard need: backends, the proxy, traffic through it, a browser.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import readline from "node:readline";

// Found by NODE_PATH: run.sh installs packages into the build directory, not beside this file.
const require = createRequire(import.meta.url);
const { chromium } = require("playwright-core");
const axeSource = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

/** How long something may take that has no time-out of its own: a machine may stand still. */
export const patience = 60000;
export const token = "0123456789abcdef0123456789abcdef";

// As private_address() of the C++ tests: a loopback IP that only this process uses, so that nothing
// takes the port of a server that is to come.
const host = `127.${1 + (process.pid >> 16)}.${(process.pid >> 8) & 255}.${process.pid & 255}`;
let nextPort = 21000;

export function privateAddress() {
    nextPort += 1;
    return { host, port: nextPort, text: `${host}:${nextPort}` };
}

/** Echoes. Can be killed, and revived at the same address. */
export class Backend {
    #server = null;
    #sockets = new Set();

    constructor() {
        this.address = privateAddress();
    }

    async start() {
        this.#server = net.createServer((socket) => {
            this.#sockets.add(socket);
            socket.on("close", () => this.#sockets.delete(socket));
            socket.on("error", () => socket.destroy());
            socket.pipe(socket);
        });
        this.#server.listen(this.address.port, this.address.host);
        await once(this.#server, "listening");
    }

    async kill() {
        if (this.#server === null) return;
        const closed = once(this.#server, "close");
        this.#server.close();
        for (const socket of this.#sockets) socket.destroy();
        await closed;
        this.#server = null;
    }
}

/** `penstock run` with a file of its own. */
export class Proxy {
    #child = null;
    #log = [];

    constructor(toml) {
        this.program = process.env.PENSTOCK ?? "build/release/penstock";
        this.directory = mkdtempSync(path.join(tmpdir(), "penstock-dashboard-"));
        this.file = path.join(this.directory, "penstock.toml");
        writeFileSync(path.join(this.directory, "admin.token"), `${token}\n`, { mode: 0o600 });
        writeFileSync(this.file, toml.replaceAll("$DIRECTORY", this.directory));
    }

    get pid() {
        return this.#child.pid;
    }

    /** Resolves when it has said `ready`. */
    async start() {
        const child = spawn(this.program, ["run", "-c", this.file],
            { stdio: ["ignore", "pipe", "pipe"] });
        this.#child = child;
        const ready = new Promise((resolve, reject) => {
            readline.createInterface({ input: child.stdout }).on("line", (line) => {
                if (line === "ready") resolve();
            });
            readline.createInterface({ input: child.stderr }).on("line", (line) => {
                this.#log.push(line);
            });
            child.on("error", (error) => {
                this.#child = null;
                reject(error);
            });
            child.on("exit", (status) => reject(
                new Error(`${this.program} ended with ${status}:\n${this.#log.join("\n")}`)));
        });
        await withDeadline(ready, "the proxy says ready");
    }

    signal(name) {
        this.#child.kill(name);
    }

    async stop() {
        const child = this.#child;
        if (child === null || child.exitCode !== null || child.signalCode !== null) return;
        const exited = once(child, "exit");
        child.kill("SIGKILL");
        await exited;
        this.#child = null;
    }

    async remove() {
        await this.stop();
        rmSync(this.directory, { recursive: true, force: true });
    }
}

/** Rejects if `promise` is still pending after `patience`. */
async function withDeadline(promise, what) {
    let timer;
    const late = new Promise((resolve, reject) => {
        timer = setTimeout(() => reject(new Error(`waited in vain until ${what}`)), patience);
    });
    try {
        return await Promise.race([promise, late]);
    } finally {
        clearTimeout(timer);
    }
}

/** Clients one after another: connect, send, read the echo, leave. What fails does not matter. */
export class Traffic {
    #going = true;

    constructor(address) {
        this.done = this.#run(address);
    }

    async #run(address) {
        while (this.#going) {
            await this.#visit(address);
            await new Promise((resolve) => setTimeout(resolve, 20));  // the pace, no wait
        }
    }

    #visit({ host: at, port }) {
        return new Promise((resolve) => {
            const socket = net.connect(port, at, () => socket.write(Buffer.alloc(10000, "x")));
            let received = 0;
            socket.on("data", (data) => {
                received += data.length;
                if (received >= 10000) socket.end();
            });
            socket.on("error", () => undefined);
            socket.on("close", resolve);
        });
    }

    async stop() {
        this.#going = false;
        await this.done;
    }
}

function configuration(parts) {
    const [a, b, c] = parts.backends.map((each) => each.address.text);
    return `[process]
workers = 2

[[admin.listener]]
bind = "${parts.read.text}"
access = "read"

[[admin.listener]]
bind = "${parts.full.text}"
access = "full"
token_file = "$DIRECTORY/admin.token"

[[listener]]
name = "web"
bind = "${parts.web.text}"
upstream = "web"

[[upstream]]
name = "web"
balance = "round_robin"

[upstream.health_check]
type = "tcp"
interval = "200ms"
fast_interval = "100ms"
timeout = "10s"
rise = 1
fall = 2
down_interval = { base = "100ms", max = "200ms" }

[upstream.circuit_breaker]
enabled = false

[[upstream.backend]]
name = "a"
address = "${a}"

[[upstream.backend]]
name = "b"
address = "${b}"

[[upstream.backend]]
address = "${c}"
`;
}

/** Everything of one test, which takes itself down at the test's end. */
export async function makeScene(t) {
    const backends = [new Backend(), new Backend(), new Backend()];
    const parts = { backends, web: privateAddress(), read: privateAddress(),
        full: privateAddress() };
    await Promise.all(backends.map((each) => each.start()));
    t.after(() => Promise.all(backends.map((each) => each.kill())));
    const proxy = new Proxy(configuration(parts));
    t.after(() => proxy.remove());
    await proxy.start();
    return { ...parts, proxy, unnamed: backends[2].address.text,
        readUrl: `http://${parts.read.text}/`, fullUrl: `http://${parts.full.text}/`,
        startTraffic() {
            const traffic = new Traffic(parts.web);
            t.after(() => traffic.stop());
        } };
}

/** Debian's chromium; its sandbox does not work for root. */
export async function launchBrowser() {
    return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
        args: process.getuid() === 0 ? ["--no-sandbox"] : [], timeout: patience });
}

/**
 * A page of its own context. `page.requests` has the URL of each request, `page.complaints` what the
 * console said as a warning or an error, and each exception.
 */
export async function openPage(t, browser, url, options = {}) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
    t.after(() => context.close());
    context.setDefaultTimeout(patience);
    const page = await context.newPage();
    page.requests = [];
    page.complaints = [];
    context.on("request", (request) => page.requests.push(request.url()));
    page.on("console", (message) => {
        if (["warning", "error"].includes(message.type())) page.complaints.push(message.text());
    });
    page.on("pageerror", (error) => page.complaints.push(String(error)));
    page.response = await page.goto(url);
    return page;
}

/** What axe-core finds wrong, one line each. It comes by the debugger: the page's policy stays. */
export async function findViolations(page) {
    const session = await page.context().newCDPSession(page);
    await session.send("Runtime.evaluate", { expression: axeSource });
    await session.detach();
    const { violations } = await page.evaluate(() => globalThis.axe.run());
    return violations.flatMap((violation) => violation.nodes.map((node) =>
        `${violation.id} at ${node.target.join(" ")}: ${node.failureSummary}`));
}
