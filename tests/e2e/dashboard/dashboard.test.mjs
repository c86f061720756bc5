// The dashboard in a browser, before the program as it runs. run.sh says how to start this.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { findViolations, launchBrowser, makeScene, openPage, patience, token } from "./scene.mjs";

let browser;
before(async () => { browser = await launchBrowser(); });
after(() => browser.close());

const live = 'body[data-live="yes"]';

function row(page, backend) {
    return page.locator(`[data-testid="backend"][data-backend="${backend}"]`);
}

function stateOf(page, backend) {
    return row(page, backend).locator(".state .badge");
}

async function waitForState(page, backend, word) {
    await stateOf(page, backend).getByText(word, { exact: true }).waitFor();
}

async function waitForText(page, testId, pattern) {
    await page.getByTestId(testId).filter({ hasText: pattern, visible: true }).first().waitFor();
}

async function waitForTitle(page, title) {
    await page.waitForFunction((wanted) => document.title === wanted, title, { timeout: patience });
}

async function enterToken(page, text) {
    await page.getByTestId("token").fill(text);
    await page.getByTestId("token-submit").click();
}

async function openWithToken(t, url) {
    const page = await openPage(t, browser, url);
    await waitForText(page, "token-reason", /asks for a token/);
    await enterToken(page, token);
    await page.locator(live).waitFor();
    return page;
}

test("figures appear under traffic, and nothing but the page's own server is asked", async (t) => {
    const scene = await makeScene(t);
    scene.startTraffic();
    const page = await openPage(t, browser, scene.readUrl);
    await page.locator(live).waitFor();
    assert.equal(await page.getByTestId("backend").count(), 3);
    for (const backend of ["a", "b", scene.unnamed]) await waitForState(page, backend, "up");
    await waitForText(page, "summary", /All is well: 3 backends in 1 upstream/);
    await waitForText(page, "total-accepted", /^[1-9]/);
    await waitForText(page, "total-toClient", /^[1-9].*B\/s$/);
    await waitForText(page, "total-toBackend", /^[1-9].*B\/s$/);
    await waitForText(page, "reason", /completed/);
    await waitForTitle(page, "Penstock");
    // A line of at least three points: three figures came, and are drawn.
    const points = process.env.SCREENSHOT ? 25 : 3;
    await page.waitForFunction((least) => document.querySelectorAll(".tile .line")[1]
        .getAttribute("d").split("L").length >= least, points, { timeout: patience });
    if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT });

    assert.deepEqual(page.complaints, []);
    const foreign = page.requests.filter((url) => !url.startsWith(scene.readUrl) &&
        !url.startsWith("data:"));
    assert.deepEqual(foreign, []);
});

test("the page's policy allows nothing but its own script and style, by a new nonce each time",
    async (t) => {
        const scene = await makeScene(t);
        const nonces = new Set();
        for (let i = 0; i < 2; i += 1) {
            const response = await fetch(scene.readUrl);
            const policy = response.headers.get("content-security-policy") ?? "";
            assert.match(policy, /default-src 'none'/);
            assert.match(policy, /connect-src 'self'/);
            const [, nonce] = /script-src 'nonce-([^']{16,})'/.exec(policy) ?? assert.fail(policy);
            const page = await response.text();
            assert.equal(page.split(`nonce="${nonce}"`).length - 1, 2);
            assert.ok(!page.includes("@NONCE@"));
            nonces.add(nonce);
        }
        assert.equal(nonces.size, 2);
    });

test("a killed backend is shown within two seconds, by word, colour and title", async (t) => {
    const scene = await makeScene(t);
    scene.startTraffic();
    const page = await openPage(t, browser, scene.readUrl);
    await waitForState(page, "b", "up");
    let took = Infinity;
    for (let window = 0; window < 3 && took > 2000; window += 1) {  // a machine may stand still
        const begin = performance.now();
        await scene.backends[1].kill();
        await waitForState(page, "b", "down");
        took = performance.now() - begin;
        if (took <= 2000) break;
        await scene.backends[1].start();
        await waitForState(page, "b", "up");
    }
    assert.ok(took <= 2000, `it took ${Math.round(took)} ms`);

    const colour = await stateOf(page, "b").evaluate((each) => getComputedStyle(each).color);
    const [red, green, blue] = colour.match(/\d+/g).map(Number);
    assert.ok(red > 2 * green && red > 2 * blue, colour);
    await waitForTitle(page, "1 down · Penstock");
    await waitForText(page, "trouble", /down.*web \/ b/);
    await waitForText(page, "event", /web \/ b.*up → down/);
    await waitForState(page, "a", "up");

    await scene.backends[1].start();
    await waitForState(page, "b", "up");
    await waitForText(page, "event", /web \/ b.*down → up/);
    await waitForText(page, "summary", /All is well/);
    assert.deepEqual(page.complaints, []);
});

test("with a token, buttons change a backend and keep the focus", async (t) => {
    const scene = await makeScene(t);
    const page = await openWithToken(t, scene.fullUrl);
    await waitForText(page, "access", /^Access: (full|by token)$/);
    for (const backend of ["b", scene.unnamed]) {
        const button = row(page, backend).getByTestId("drain");
        assert.equal(await button.getAttribute("aria-label"), `Drain: ${backend} in web`);
        await button.click();
        await row(page, backend).getByTestId("outcome").filter({ hasText: /^Done:/ }).waitFor();
        await waitForState(page, backend, "drain");
        assert.equal(await button.getAttribute("aria-pressed"), "true");
        assert.ok(await button.evaluate((each) => each === document.activeElement));
    }
    await waitForText(page, "event", new RegExp(`web / b.*drain.*by .*admin\\.token`));

    // The last one needs a second press.
    await row(page, "a").getByTestId("maintenance").click();
    await row(page, "a").getByTestId("outcome").filter({ hasText: /press again/ }).waitFor();
    await waitForState(page, "a", "up");
    await row(page, "a").getByTestId("maintenance").click();
    await waitForState(page, "a", "maintenance");
    await waitForText(page, "trouble", /none of 3 available/);

    for (const backend of ["a", "b"]) {
        await row(page, backend).getByTestId("ready").click();
        await waitForState(page, backend, "up");
    }
});

test("without full access, buttons say in words why not", async (t) => {
    const scene = await makeScene(t);
    const reader = await openPage(t, browser, scene.readUrl);
    await waitForText(reader, "access", /^Access: read$/);
    await row(reader, "b").getByTestId("drain").click({ force: true });
    await row(reader, "b").getByTestId("outcome").filter({ hasText: /^Refused: .*token/ }).waitFor();
    await waitForText(reader, "announcer", /web \/ b: Refused/);
    assert.deepEqual(reader.complaints, []);

    // The server's own refusal, in its words.
    const page = await openWithToken(t, scene.fullUrl);
    await waitForText(page, "access", /^Access: (full|by token)$/);
    await page.evaluate(() => sessionStorage.setItem("penstock-token", "no-longer-valid-0000000"));
    await row(page, "b").getByTestId("drain").click();
    await row(page, "b").getByTestId("outcome")
        .filter({ hasText: /^Refused: .*Enter a valid token/ }).waitFor();
    await waitForState(page, "b", "up");
});

test("a wrong token is not accepted, and another one may be entered", async (t) => {
    const scene = await makeScene(t);
    const page = await openPage(t, browser, scene.fullUrl);
    await waitForText(page, "token-reason", /asks for a token/);
    await waitForText(page, "access", /^No access$/);
    await enterToken(page, "this-is-not-the-token-at-all");
    await waitForText(page, "token-reason", /does not accept this token/);
    await enterToken(page, token);
    await page.locator(live).waitFor();
    assert.equal(await page.getByTestId("backend").count(), 3);
});

test("the page survives a restart of the proxy and says so", async (t) => {
    const scene = await makeScene(t);
    const page = await openPage(t, browser, scene.readUrl);
    await page.locator(live).waitFor();
    const before = scene.proxy.pid;
    await scene.proxy.stop();
    await waitForText(page, "link-text",
        /^Connection lost: .*These figures are from \d\d:\d\d:\d\d\.$/);
    await page.waitForFunction(() =>
        Number(getComputedStyle(document.querySelector(".figures")).opacity) < 0.9);
    await waitForTitle(page, "No connection · Penstock");

    await scene.proxy.start();
    await page.locator(live).waitFor();
    await waitForText(page, "link-text", /^Live$/);
    await waitForText(page, "notice",
        new RegExp(`The process restarted: pid ${before} → ${scene.proxy.pid}\\.`));
    await waitForTitle(page, "Penstock");
    // What failed meanwhile are connections, and nothing else.
    assert.deepEqual(page.complaints.filter((each) => !/net::ERR_/.test(each)),
        []);
});

test("a server that stands still is told from one that is gone", async (t) => {
    const scene = await makeScene(t);
    const page = await openPage(t, browser, scene.readUrl);
    await page.locator(live).waitFor();
    scene.proxy.signal("SIGSTOP");
    await waitForText(page, "link-text", /^No news from the server\. These figures are from/);
    await waitForTitle(page, "No connection · Penstock");
    scene.proxy.signal("SIGCONT");
    await waitForText(page, "link-text", /^Live$/);
    assert.equal(await page.getByTestId("notice").filter({ hasText: "restarted" }).count(), 0);
});

for (const colorScheme of ["light", "dark"]) {
    for (const width of [1280, 360]) {
        test(`axe-core finds nothing wrong: ${colorScheme}, ${width} px`, async (t) => {
            const scene = await makeScene(t);
            const page = await openPage(t, browser, scene.readUrl,
                { colorScheme, viewport: { width, height: 800 }, reducedMotion: "reduce" });
            await scene.backends[1].kill();
            await waitForState(page, "b", "down");
            await waitForText(page, "event", /web \/ b/);
            await page.getByTestId("token-button").click();  // the form, too
            assert.deepEqual(await findViolations(page), []);
        });
    }
}

test("on a phone the page does not scroll sideways, and its buttons can be reached", async (t) => {
    const scene = await makeScene(t);
    const page = await openPage(t, browser, scene.readUrl,
        { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
    await scene.backends[1].kill();
    await waitForState(page, "b", "down");
    await page.evaluate(() => scrollTo(1000, 0));
    assert.equal(await page.evaluate(() => scrollX), 0);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
    const box = await row(page, "b").getByTestId("maintenance").boundingBox();
    assert.ok(box.x >= 0 && box.x + box.width <= 360, JSON.stringify(box));
});

function serveSnapshot(page, snapshot, after = "") {
    return page.route("**/api/v1/stream", (route) => route.fulfill({
        contentType: "text/event-stream",
        body: `event: status\ndata: ${JSON.stringify(snapshot)}\n\n${after}` }));
}

test("a failed reload, what needs a restart, and old processes have their lines", async (t) => {
    const scene = await makeScene(t);
    const page = await openPage(t, browser, scene.readUrl);
    await page.locator(live).waitFor();
    for (const id of ["problems", "old-processes"]) {
        assert.ok(await page.getByTestId(id).isHidden(), id);
    }

    const other = await openPage(t, browser, "about:blank", { viewport: { width: 360, height: 740 } });
    await serveSnapshot(other, { status: { pid: 8, uptime_s: 1,
        last_reload: { time: "2026-11-28T12:00:00Z", ok: false,
            errors: [`/etc/${"very-".repeat(30)}long.toml:3:1: unknown key`] },
        restart_required: ["process.workers"],
        old_processes: [{ pid: 7, version: "1.0.0", connections: 12, s_left: 290 },
            { pid: 6, version: "0.9.0", connections: 1, s_left: null }] } });
    await other.goto(scene.readUrl);
    await waitForText(other, "problems", /The last reload failed .*long\.toml:3:1: unknown key/);
    await waitForText(other, "problems", /Takes effect after a restart: process\.workers/);
    await waitForText(other, "old-processes", /Old process 7 \(1\.0\.0\): 12 connections, ends in/);
    assert.equal(await other.getByTestId("problems").locator("li").count(), 2);
    await waitForText(other, "summary", /2 things need attention/);
    assert.equal(await other.getByTestId("old-processes").locator("li").count(), 2);
    assert.equal(await other.evaluate(() => document.documentElement.scrollWidth), 360);
    // The rest of this page is pale: its stream has ended.
    const violations = await findViolations(other);
    assert.deepEqual(violations.filter((each) => /problems|old-processes/.test(each)), []);
});

// A server that says what ours never would: one snapshot, word by word.
test("what the server says is shown as text, whatever it is", async (t) => {
    const scene = await makeScene(t);
    const page = await openPage(t, browser, "about:blank");
    const name = '<img src=x onerror="document.title=1">';
    const snapshot = { status: { version: name, pid: 1, uptime_s: 1, restart_required: [name],
        last_reload: { ok: false, errors: [name] }, old_processes: [{ pid: 1, version: name }] },
        listeners: [{ name }], upstreams: [{ name, balance: name, backends: [{ name, address: name, state: name,
            excluded_by: name, override: name, check: { last: { ok: false, error: name } } }] }] };
    await serveSnapshot(page, snapshot, `event: event\ndata: ` +
        `${JSON.stringify({ seq: 1, kind: name, upstream: name, detail: name })}\n\n`);
    await page.goto(scene.readUrl);
    await waitForText(page, "event", name);
    assert.equal(await page.getByTestId("backend").locator("th .main").textContent(), name);
    assert.equal(await page.locator("img").count(), 0);
});
