// Visits every page in light, in dark and on a narrow phone, and has axe judge each: no violation. With PICTURES=FOLDER it also takes
// the pictures of the README, and sends events for a while before, so that there is something to see.
//
// Arguments: the ids of a campaign and of a user that have something to show.
import { mkdir } from "node:fs/promises";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { enter, go, open, tab, track } from "./browser.mjs";

const [campaign, user] = process.argv.slice(2);
const axe = readFileSync(join(process.env.EC_CONSOLE_NODE_FOLDER, "node_modules/axe-core/axe.min.js"), "utf8");
const pictures = process.env.PICTURES;

/** Pictures that are taken. */
const PICTURED = ["overview-light", "campaign-results-light", "campaign-edit-dark", "user-dark", "campaign-results-phone"];
/** Seconds of events before. */
const TRAFFIC_SECONDS = 150;

const click = (name) => (page) => page.locator("main").getByRole("button", { name, exact: true }).click();
const why = (page) => page.getByRole("link", { name: "Why?" }).first().click();

/** Name, address, what is there when the page is complete, and what is clicked before, if anything. */
const PAGES = [
  ["overview", "#/overview", "Workers"],
  ["campaigns", "#/campaigns", "Campaigns"],
  ["campaign-results", `#/campaigns/${campaign}/results`, "Each day, UTC"],
  ["campaign-definition", `#/campaigns/${campaign}/definition`, "Who sees it"],
  ["campaign-preview", `#/campaigns/${campaign}/preview`, "looked at in", click("Run the backtest")],
  ["campaign-history", `#/campaigns/${campaign}/history`, "Version 1"],
  ["campaign-edit", `#/campaigns/${campaign}/edit`, "Who sees it"],
  ["campaign-new", "#/campaigns/new", "Basics"],
  ["analytics", "#/analytics", "product_viewed"],
  ["live", "#/live", "Listening"],
  ["users", "#/users", user],
  ["user", `#/users/${user}`, "Shown: ", why],
  ["dead-letters", "#/dead-letters", "Reason"],
  ["keys", "#/keys", "web-shop"],
  ["no-such-page", "#/nowhere", "leads nowhere"],
];

const LOOKS = [
  ["light", { colorScheme: "light", viewport: { width: 1280, height: 860 } }],
  ["dark", { colorScheme: "dark", viewport: { width: 1280, height: 860 } }],
  ["phone", { colorScheme: "light", viewport: { width: 320, height: 640 } }],
];

const findings = [];

async function judge(page, name) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  for (const { id, help, nodes } of violations) findings.push(`${name}: ${id}: ${help}: ${nodes.map((node) => `${node.html} ${node.failureSummary}`).slice(0, 3).join(" | ")}`);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (wide > 0) findings.push(`${name}: the page is ${wide} pixels wider than the screen`);
}

async function walk(browser, [look, options]) {
  const { page, context, trouble } = await tab(browser, options);
  await page.goto("/console");
  await page.getByLabel("Admin key").waitFor();
  await judge(page, `${look} key`);
  await enter(page);
  if (pictures && look === "light") await traffic();
  for (const [name, hash, there, act] of PAGES) {
    await go(page, hash);
    await act?.(page);
    await page.locator("main").getByText(there).first().waitFor();
    await page.locator("[aria-busy=true]").waitFor({ state: "detached" });
    await judge(page, `${look} ${name}`);
    if (pictures && PICTURED.includes(`${name}-${look}`)) await page.screenshot({ path: join(pictures, `${name}-${look}.png`) });
  }
  await go(page, "#/keys");
  await page.getByRole("button", { name: "New key" }).click();
  await judge(page, `${look} a dialog`);
  await context.close();
  findings.push(...trouble.map((text) => `${look}: ${text}`));
}

/** More and fewer events by turns. */
async function traffic() {
  const end = Date.now() + TRAFFIC_SECONDS * 1000;
  for (let n = 0; Date.now() < end; n++) {
    await track("user-07", "product_viewed", { price: 10 + (n % 20), product: `tea-${n % 5}` });
    await new Promise((resolve) => setTimeout(resolve, 25 + 60 * (1 + Math.sin(n / 150)) * (n % 7 === 0 ? 3 : 1)));
  }
}

if (pictures) await mkdir(pictures, { recursive: true });
const browser = await open();
try {
  await Promise.all(LOOKS.map((look) => walk(browser, look)));
} catch (error) {
  findings.push(error.stack);
}
await browser.close();
findings.forEach((finding) => console.log(finding));
process.exit(findings.length === 0 ? 0 : 1);
