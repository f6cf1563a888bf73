// Looks at a page in Chromium: `node look.mjs SPECIFICATION URL`, JSON as checks/pages.py writes it.
// Prints one line of JSON. Without a URL the current folder is served on loopback meanwhile.
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { dirname, extname, join } from "node:path";
import { pathToFileURL } from "node:url";

const [text, address] = process.argv.slice(2);
const said = JSON.parse(text);
const from = createRequire(join(said.packages, "package.json"));
const load = async (name) => {
  const found = await import(pathToFileURL(from.resolve(name)).href);
  return found.default ?? found;
};
// what a package unpacks is its own, not what somebody left in the shared folder
process.env.TMPDIR = process.env.HOME;
Object.assign(process.env, said.environment);
const TYPES = {
  ".html": "text/html", ".htm": "text/html", ".css": "text/css", ".js": "text/javascript",
  ".mjs": "text/javascript", ".json": "application/json", ".svg": "image/svg+xml",
  ".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp", ".woff2": "font/woff2",
};
const ARGUMENTS = [
  "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-proxy-server",
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1, EXCLUDE [::1]",
];

async function launch() {
  const driver = await load(said.driver);
  const start = (more) => (driver.chromium ?? driver).launch({ headless: true, pipe: true, args: ARGUMENTS, ...more });
  const ways = [() => start({})];
  for (const executablePath of said.programs) ways.push(() => start({ executablePath }));
  if (said.bundled)
    ways.push(async () => {
      const own = await load(said.bundled);
      const args = [...own.args.filter((word) => word !== "--disable-web-security"), ...ARGUMENTS];
      return start({ executablePath: await own.executablePath(), args });
    });
  const reasons = [];
  for (const way of ways)
    try {
      return await way();
    } catch (error) {
      reasons.push(String(error.message).split("\n")[0]);
    }
  throw Object.assign(new Error(reasons.at(-1)), { lacks: true });
}

/** Files below the folder; what begins with a slash may also lie beside the page. */
function serve(folder, page) {
  const places = [folder, join(folder, dirname(page))];
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url, "http://localhost").pathname);
    for (const place of places)
      try {
        const bytes = readFileSync(join(place, path));
        response.writeHead(200, { "Content-Type": TYPES[extname(path)] ?? "application/octet-stream" });
        return response.end(bytes);
      } catch {}
    response.writeHead(404).end();
  });
  return new Promise((done) => server.listen(0, "127.0.0.1", () => done(server)));
}

async function open(browser, url, width, height, scale) {
  const viewport = { width, height };
  const plain = { viewport, deviceScaleFactor: scale, reducedMotion: "reduce", serviceWorkers: "block" };
  const page = browser.newContext ? await browser.newPage(plain) : await browser.newPage();
  if (!browser.newContext) await page.setViewport({ ...viewport, deviceScaleFactor: scale });
  const problems = [];
  page.on("pageerror", (error) => problems.push(`its script fails: ${error.message}`));
  page.on("requestfailed", (request) => problems.push(`${request.url()} is not reached`));
  page.on("response", (answer) => {
    if (answer.status() >= 400 && !answer.url().endsWith("/favicon.ico"))
      problems.push(`${answer.url()} answers ${answer.status()}`);
  });
  const answer = await page.goto(url, { waitUntil: "load", timeout: said.limit * 1000 });
  await page.evaluate(() => document.fonts.ready.then(() => true));
  await new Promise((done) => setTimeout(done, 500));
  const session = await (page.createCDPSession?.() ?? page.context().newCDPSession(page));
  return { page, problems, session, status: answer.status() };
}

/** In a world of its own: the page's scripts do not see it. */
async function apart(session, code) {
  const { frameTree } = await session.send("Page.getFrameTree");
  const world = await session.send("Page.createIsolatedWorld", { frameId: frameTree.frame.id });
  const found = await session.send("Runtime.evaluate", {
    expression: code, contextId: world.executionContextId, awaitPromise: true, returnByValue: true,
  });
  if (found.exceptionDetails)
    throw new Error((found.exceptionDetails.exception?.description ?? "it fails").split("\n")[0]);
  return found.result.value;
}

const CONTENT = `({
  shown: document.body?.innerText.trim().length > 0
    || !!document.querySelector("img, svg, canvas, video, input, button"),
  frames: document.querySelectorAll("iframe, frame").length,
})`;

async function judge(browser, url) {
  const seen = await open(browser, url, said.width || 1280, 800, 1);
  const options = { iframes: false, resultTypes: ["violations", "incomplete", "passes"] };
  if (said.rule) options.runOnly = { type: "rule", values: [said.rule] };
  const short = `(r) => r.map((v) => ({ id: v.id, impact: v.impact, count: v.nodes.length,
    at: v.nodes.slice(0, 3).map((n) => n.target.flat().join(" ")) }))`;
  const source = readFileSync(from.resolve("axe-core/axe.min.js"), "utf8");
  const found = await apart(seen.session, `${source};
    axe.run(document, ${JSON.stringify(options)}).then((r) => ({
      violations: (${short})(r.violations), incomplete: (${short})(r.incomplete),
      passes: r.passes.length, version: r.testEngine.version }))`);
  const content = await apart(seen.session, CONTENT);
  return { ...found, ...content, status: seen.status, problems: seen.problems };
}

const COMPARE = `async (one, other) => {
  const read = async (data) => {
    const image = new Image();
    image.src = data;
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    return { width: canvas.width, height: canvas.height, context };
  };
  const a = await read(one);
  if (!other) return { width: a.width, height: a.height };
  const b = await read(other);
  const height = Math.min(a.height, b.height);
  const found = { width: b.width, height: b.height, differing: 0, most: 0 };
  if (a.width !== b.width) return { ...found, differing: -1 };
  const left = a.context.getImageData(0, 0, a.width, height).data;
  const right = b.context.getImageData(0, 0, a.width, height).data;
  for (let at = 0; at < left.length; at += 4) {
    let far = 0;
    for (let channel = 0; channel < 4; channel++)
      far = Math.max(far, Math.abs(left[at + channel] - right[at + channel]));
    if (far) found.differing++;
    found.most = Math.max(found.most, far);
  }
  return found;
}`;

async function compare(browser, url) {
  const blank = await browser.newPage();
  const session = await (blank.createCDPSession?.() ?? blank.context().newCDPSession(blank));
  const call = (...data) => apart(session, `(${COMPARE})(${data.map((d) => JSON.stringify(d)).join(",")})`);
  const inline = (bytes, type) => `data:${type};base64,${Buffer.from(bytes).toString("base64")}`;
  const wanted = inline(readFileSync(said.picture), TYPES[extname(said.picture).toLowerCase()]);
  const size = await call(wanted);
  const scale = said.width ? size.width / said.width : 1;
  if (![1, 2, 3].includes(scale)) return { wanted: size, narrow: true };
  const width = size.width / scale;
  let best;
  for (const height of new Set([Math.ceil(size.height / scale), 720])) {
    const seen = await open(browser, url, width, height, scale);
    const bytes = await seen.page.screenshot({ fullPage: true, animations: "disabled", caret: "hide" });
    const found = await call(wanted, inline(bytes, "image/png"));
    const off = found.differing < 0 ? Infinity : found.differing + Math.abs(found.height - size.height) * width;
    if (best && off >= best.off) continue;
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    const content = await apart(seen.session, CONTENT);
    best = { off, bytes, wanted: size, found, sha256, ...content, status: seen.status, problems: seen.problems };
    if (!off) break;
  }
  const { bytes, off, ...rest } = best;
  const path = join(said.folder, `${rest.sha256}.png`);
  writeFileSync(path, bytes);
  return { ...rest, path };
}

let answer, browser, server;
try {
  browser = await launch();
  if (!address) server = await serve(process.cwd(), said.page);
  const url = address ?? `http://127.0.0.1:${server.address().port}/${said.page}`;
  answer = await (said.picture ? compare : judge)(browser, url);
  answer.browser = browser.version instanceof Function ? await browser.version() : "";
} catch (error) {
  answer = { broken: String(error.message).split("\n")[0], lacks: error.lacks ?? false };
}
console.log(JSON.stringify(answer));
await browser?.close().catch(() => {});
process.exit(0);
