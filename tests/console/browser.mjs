// One headless Chromium with the console open, and a guard over it: what the page logs as an error, throws, or asks for in vain is
// a failure of the flow that it happens in.
//
// Environment: CONSOLE_URL (of ingest), ADMIN_KEY, WRITE_KEY, EC_CONSOLE_NODE_FOLDER (the packages), EC_SDK_CHROMIUM.
import { createRequire } from "node:module";
import { join } from "node:path";

export const { CONSOLE_URL: server, ADMIN_KEY: adminKey, WRITE_KEY: writeKey } = process.env;
const packages = createRequire(join(process.env.EC_CONSOLE_NODE_FOLDER, "x.js"));
const { chromium } = packages("playwright-core");

/** How long a click waits for what should be there in milliseconds: the machine may be busy. */
const PATIENCE_MILLISECONDS = 20_000;

export async function open() {
  const browser = await chromium.launch({
    executablePath: process.env.EC_SDK_CHROMIUM,
    args: ["--no-sandbox", "--disable-dev-shm-usage", "--no-proxy-server"],
  });
  return browser;
}

/** A tab with a session of its own. `expected`: answers that the flow brings about on purpose, such as `401 GET /v1/admin/status`. */
export async function tab(browser, { expected = [], ...options } = {}) {
  const context = await browser.newContext({ baseURL: server, reducedMotion: "reduce", ...options });
  context.setDefaultTimeout(PATIENCE_MILLISECONDS);
  const page = await context.newPage();
  const trouble = [];
  const isExpected = (text) => expected.some((known) => text.startsWith(known));
  page.on("pageerror", (error) => trouble.push(`thrown: ${error.stack ?? error}`));
  page.on("console", (message) => {
    // An answer with an error status is logged too; it is judged below, with its method.
    if (["error", "warning"].includes(message.type()) && !message.text().startsWith("Failed to load resource")) {
      trouble.push(`logged: ${message.text()}`);
    }
  });
  page.on("requestfailed", (request) => {
    const why = request.failure()?.errorText;
    if (why !== "net::ERR_ABORTED") trouble.push(`failed: ${request.method()} ${request.url()}: ${why}`);
  });
  page.on("response", (response) => {
    const { pathname } = new URL(response.url());
    const text = `${response.status()} ${response.request().method()} ${pathname}`;
    if (response.status() >= 400 && !isExpected(text)) trouble.push(`answered: ${text}`);
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(server)) trouble.push(`asked elsewhere: ${request.url()}`);
    if (request.url().includes(adminKey)) trouble.push(`the key is in an address: ${request.url()}`);
  });
  return { page, context, trouble };
}

/** Opens a page of the console with the key entered. */
export async function enter(page, hash = "") {
  await page.goto("/console");
  await page.getByLabel("Admin key").fill(adminKey);
  await page.getByRole("button", { name: "Open the console" }).click();
  await page.getByRole("heading", { name: "Overview", level: 1 }).waitFor();
  if (hash) await go(page, hash);
}

/** As a link does. */
export async function go(page, hash) {
  await page.evaluate((to) => void (location.hash = to), hash);
}

/** A call of the API beside the browser. */
export async function api(method, path, body, key = adminKey) {
  const response = await fetch(server + path, {
    method,
    headers: { "x-api-key": key, "content-type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return JSON.parse(text);
}

export const track = (user, event, properties = {}) => api("POST", "/v1/track", { user_id: user, event, properties }, writeKey);

/** Asks until it is true. */
export async function until(what, condition) {
  const end = Date.now() + PATIENCE_MILLISECONDS;
  for (;;) {
    if (await condition()) return;
    if (Date.now() > end) throw new Error(`not in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export function same(found, wanted, what) {
  const [a, b] = [JSON.stringify(found), JSON.stringify(wanted)];
  if (a !== b) throw new Error(`${what}: ${a}, wanted ${b}`);
}
