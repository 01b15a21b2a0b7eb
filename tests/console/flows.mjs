// What people do in the console, by clicks. Each flow begins in a tab of its own; what it leaves in the database is compared by
// tests/tests/console.rs. Prints one line for each flow; ends with 1 when one failed.
//
// node flows.mjs [NAME...]: only these.
import { adminKey, api, enter, go, open, same, tab, track, until, writeKey } from "./browser.mjs";

const button = (scope, name) => scope.getByRole("button", { name, exact: true });
const row = (page, text) => page.getByRole("row").filter({ hasText: text });
const dialog = (page) => page.getByRole("dialog");
const heading = (page, name) => page.getByRole("heading", { name, level: 1 });

const flows = {
  async a_key_opens_the_console_and_nothing_else_does(page, { context }) {
    await page.goto("/console");
    const enter = async (key) => {
      await page.getByLabel("Admin key").fill(key);
      await button(page, "Open the console").click();
    };
    await enter("no-such-key");
    await page.getByText("The server does not know this key.").waitFor();
    await enter(writeKey);
    await page.getByText("This key may send events, but not administer.").waitFor();
    await enter(adminKey);
    await heading(page, "Overview").waitFor();
    same(page.url().includes(adminKey), false, "the key is in the address");
    await page.reload();
    await heading(page, "Overview").waitFor();
    // Another tab knows nothing of it.
    const other = await context.newPage();
    await other.goto("/console");
    await other.getByLabel("Admin key").waitFor();
    await other.close();
    await button(page, "Sign out").click();
    await page.getByText("You signed out.").waitFor();
    same(await page.evaluate(() => sessionStorage.length), 0, "what is kept after signing out");
  },

  async a_revoked_key_leads_back_to_the_key_page(page) {
    const key = await api("POST", "/v1/admin/keys", { name: "short-lived", role: "admin" });
    await page.goto("/console");
    await until("the key is known", async () => (await fetch(`${process.env.CONSOLE_URL}/v1/admin/keys`, { headers: { "x-api-key": key.key } })).ok);
    await page.getByLabel("Admin key").fill(key.key);
    await button(page, "Open the console").click();
    await heading(page, "Overview").waitFor();
    await api("DELETE", `/v1/admin/keys/${key.id}`);
    await page.getByText("The server does not know this key any more").waitFor({ timeout: 45_000 });
  },

  async the_overview_shows_what_happens(page) {
    await enter(page);
    const figure = (name) => page.getByRole("region").or(page.locator("section")).filter({ has: page.getByRole("heading", { name, exact: true }) });
    for (const name of ["Processed", "Accepted", "Lag", "Refused with 503", "Dead letters open", "Stream fill"]) await figure(name).first().waitFor();
    await row(page, "worker").first().waitFor();
    let n = 0;
    // While events come, the plot of what is processed rises.
    await until("the throughput is seen", async () => {
      await track("ada", "overview_looked_at", { n: n++ });
      return /: [\d.]+[1-9]\d*\/s now|: [1-9][\d.]*\/s now/.test((await page.getByRole("img", { name: /^Processed: / }).getAttribute("aria-label")) ?? "");
    });
    await page.getByRole("img", { name: /^Stream fill: .*%/ }).waitFor();
  },

  async a_campaign_is_made_with_the_rule_builder_and_found_again(page) {
    await enter(page, "#/campaigns");
    await page.getByRole("link", { name: "New campaign" }).click();
    await page.getByLabel("Name", { exact: true }).fill("Made by clicks");
    const event = page.getByLabel("Add an event");
    const list = await event.getAttribute("list");
    await page.locator(`[id="${list}"] option[value="cart_viewed"]`).waitFor({ state: "attached" });
    await event.fill("cart_viewed");
    await event.press("Enter");
    await page.getByRole("list", { name: "Events that bring it up" }).getByText("cart_viewed").waitFor();

    await button(page, "Add a rule").click();
    const first = page.getByRole("group", { name: "Rule 1" }).first();
    await first.getByLabel("What it is about").selectOption("trait");
    const field = first.getByLabel("Field");
    await page.locator(`[id="${await field.getAttribute("list")}"] option[value="plan"]`).waitFor({ state: "attached" });
    await field.fill("plan");
    // A trait that holds texts is offered no "is true".
    same(await first.getByLabel("Comparison").locator("option[value=is_true]").count(), 0, "operators for a text");
    await first.getByLabel("Comparison").selectOption("in");
    await first.getByLabel("Values, with commas").fill("free, trial");
    await first.getByLabel("Values, with commas").blur();

    await button(page, "Add a group").click();
    const group = page.getByRole("group", { name: "Group 2" });
    const inner = group.getByRole("group", { name: "Rule 1" });
    await inner.getByLabel("Field").fill("cart_total");
    await inner.getByLabel("Comparison").selectOption(">=");
    await inner.getByLabel("Value", { exact: true }).fill("40");
    await button(group, "Add a rule").click();
    const count = group.getByRole("group", { name: "Rule 2" });
    await count.getByLabel("What it is about").selectOption("event_count");
    await count.getByLabel("Event", { exact: true }).fill("order_placed");
    await count.getByLabel("Times").fill("2");

    await page.getByLabel("Shown to a user at most").fill("3");
    await page.getByLabel("Goal", { exact: true }).fill("order_placed");
    await page.getByLabel("Text", { exact: true }).fill("Free delivery");
    await button(page, "Save").click();
    await heading(page, "Made by clicks").waitFor();
    await page.getByText("The trait plan is one of “free”, “trial”").waitFor();
    await page.getByText("At least one of these holds:").waitFor();

    await go(page, "#/campaigns");
    await heading(page, "Campaigns").waitFor();
    await page.keyboard.press("/");
    await page.keyboard.type("made by");
    await row(page, "Made by clicks").waitFor();
    await until("the others are gone", async () => (await page.getByRole("row").count()) === 2);
    await page.getByLabel("Status").selectOption("active");
    await page.getByText("No campaign is like that.").waitFor();
    await page.getByLabel("Status").selectOption("draft");
    await button(page, "Activate Made by clicks").click();
    await page.getByText("“Made by clicks” is active now.").waitFor();
  },

  async a_campaign_is_paused_copied_archived_and_deleted(page) {
    const campaign = await api("POST", "/v1/admin/campaigns", { name: "To be put away", status: "active", trigger: "cart_viewed" });
    await enter(page, `#/campaigns/${campaign.id}/definition`);
    await heading(page, "To be put away").waitFor();
    await button(page, "Pause").click();
    await button(page, "Activate").waitFor();
    await button(page, "Duplicate").click();
    await heading(page, "Edit To be put away (copy)").waitFor();
    await page.goBack();
    await heading(page, "To be put away").waitFor();
    await button(page, "Archive").click();
    await button(dialog(page), "Archive").click();
    await page.getByText("“To be put away” is archived.").waitFor();
    await button(page, "Delete").click();
    await dialog(page).waitFor();
    await page.keyboard.press("Escape");
    await dialog(page).waitFor({ state: "detached" });
    await button(page, "Delete").click();
    await button(dialog(page), "Delete").click();
    await heading(page, "Campaigns").waitFor();
    // Its history brings it back.
    await go(page, `#/campaigns/${campaign.id}/history`);
    await heading(page, "A campaign that was deleted").waitFor();
    await button(page, "Restore version 3").click();
    await button(dialog(page), "Restore").click();
    await heading(page, "To be put away").waitFor();
    await page.locator(".lead").getByText("archived").waitFor();
  },

  async nothing_of_a_document_is_lost_and_a_conflict_is_shown(page) {
    const document = { name: "Rich", status: "draft", trigger: "cart_viewed", experience: { layers: [{ deep: [1, null, "x"] }] }, big: 1.5, rules: [{ id: 7, type: "event", field: "a", operator: "equals", value: 1, note: "kept" }] };
    const { id } = await api("POST", "/v1/admin/campaigns", document);
    await enter(page, `#/campaigns/${id}/edit`);
    await page.getByLabel("Name", { exact: true }).fill("Rich, renamed");
    await button(page, "JSON").click();
    const json = page.getByLabel("Document");
    const text = await json.inputValue();
    await json.fill(text.slice(0, -1));
    await page.getByText("This is no JSON yet").waitFor();
    same(await button(page, "Save").isDisabled(), true, "what is no JSON can be saved");
    await json.fill(text.replace('"priority"', '"x"').replace(/\n\}$/, ',\n  "added": {"by": "hand"}\n}'));
    await page.getByText("Changed and not saved: name, added").waitFor();
    // Somebody else changes something else meanwhile, and the name too.
    await api("PUT", `/v1/admin/campaigns/${id}`, { name: "Rich, by somebody", priority: 5 });
    await button(page, "Save").click();
    await dialog(page).getByText("Somebody else changed it meanwhile").waitFor();
    await dialog(page).getByText("Rich, by somebody").waitFor();
    await dialog(page).getByText("Both of you changed name").waitFor();
    await button(dialog(page), "Save mine too").click();
    await heading(page, "Rich, renamed").waitFor();
  },

  async the_history_shows_differences_and_leads_back(page) {
    const { id } = await api("POST", "/v1/admin/campaigns", { name: "First words", status: "draft", config: { text: "old" } });
    await api("PUT", `/v1/admin/campaigns/${id}`, { name: "Second words", config: { text: "new" } });
    await enter(page, `#/campaigns/${id}/definition`);
    await page.getByRole("link", { name: "History" }).click();
    await page.getByText("config.text").waitFor();
    await page.locator("del").filter({ hasText: "old" }).waitFor();
    await page.locator("ins").filter({ hasText: "new" }).waitFor();
    await button(page, "Restore version 1").click();
    await button(dialog(page), "Restore").click();
    await heading(page, "First words").waitFor();
    await page.getByRole("heading", { name: "Version 3 restored" }).waitFor();
  },

  async a_campaigns_page_shows_its_funnel_and_its_days(page) {
    await enter(page, "#/campaigns");
    await page.getByRole("link", { name: "Demo: a cart of 40 or more" }).click();
    await heading(page, "Demo: a cart of 40 or more").waitFor();
    const id = page.url().split("/").at(-1);
    const steps = page.locator(".funnel li");
    await steps.first().waitFor();
    const { funnel } = await api("GET", `/v1/analytics/campaigns/${id}`);
    same(funnel.map((step) => step.count > 0), [true, true, true, true], "what the funnel holds");
    for (const [n, step] of funnel.entries()) await steps.nth(n).getByText(String(step.count), { exact: true }).waitFor();
    const plot = page.getByRole("slider", { name: "Each day of this campaign: choose a day" });
    await plot.focus();
    await page.keyboard.press("End");
    const today = await plot.getAttribute("aria-valuetext");
    await page.keyboard.press("ArrowLeft");
    await until("the day before is told", async () => (await plot.getAttribute("aria-valuetext")) !== today);
    await page.getByText("The same as a table").click();
    same(await page.getByRole("region", { name: "Each day of this campaign" }).getByRole("row").count(), 31, "rows of the table");
    await page.getByLabel("Period").selectOption("7");
    await until("seven days are listed", async () => (await page.getByRole("region", { name: "Each day of this campaign" }).getByRole("row").count()) === 8);
    same(page.url().endsWith("?days=7"), true, "the period is in the address");
  },

  async analytics_show_counts_people_and_events(page) {
    await enter(page, "#/analytics");
    const overview = await api("GET", "/v1/analytics/overview");
    await page.locator(".totals").getByText(`${overview.activeCampaigns} of ${overview.totalCampaigns}`).waitFor();
    await row(page, "product_viewed").waitFor();
    await page.getByRole("slider", { name: "Active users and events each day: choose a day" }).focus();
    await page.keyboard.press("End");
    await page.keyboard.press("ArrowLeft");
    await until("a day's users are told", async () =>
      /Active users [1-9]/.test((await page.getByRole("slider", { name: /^Active users/ }).getAttribute("aria-valuetext")) ?? ""));
  },

  async a_backtest_counts_whom_a_draft_would_have_matched(page) {
    const draft = { name: "To be tried", status: "draft", trigger: "product_viewed", rules: [{ type: "event", field: "price", operator: ">=", value: 0 }] };
    const { id } = await api("POST", "/v1/admin/campaigns", draft);
    await enter(page, `#/campaigns/${id}/preview`);
    await page.getByLabel("Days to look back").fill("3");
    await button(page, "Run the backtest").click();
    const outcome = page.locator(".outcome");
    await outcome.waitFor();
    const result = await api("POST", "/v1/admin/campaigns/backtest", { campaign: draft, days: 3 });
    same(result.matched_users > 10, true, "users that match");
    await outcome.getByText(String(result.matched_users), { exact: true }).first().waitFor();
    // What is being edited is tried as it is, without being saved.
    await page.getByRole("link", { name: "Edit", exact: true }).click();
    await page.getByLabel("Value", { exact: true }).fill("1000000");
    await button(page, "Run the backtest").click();
    await outcome.waitFor();
    await outcome.getByText("0", { exact: true }).first().waitFor();
    same((await api("GET", `/v1/admin/campaigns/${id}`)).rules[0].value, 0, "the stored rule");
    await button(page, "Discard changes").click();
  },

  async a_user_learns_why_and_why_not(page) {
    await enter(page, "#/users/ada");
    await page.getByRole("row").filter({ hasText: "Demo: a cart of 40 or more" }).getByRole("link", { name: "Why?" }).click();
    const answer = page.locator(".explained");
    await answer.getByText("Shown: ").waitFor();
    await answer.getByText("59").first().waitFor();
    await page.getByLabel("Event", { exact: true }).selectOption({ label: "One that I make up" });
    await page.getByLabel("Name", { exact: true }).fill("cart_viewed");
    await page.getByLabel("Properties").fill('{"cart_total": 12}');
    await button(page, "Explain").click();
    await answer.getByText("Not shown: a rule does not hold").waitFor();
    await answer.getByText("12").first().waitFor();
    await page.getByLabel("Properties").fill("{");
    await button(page, "Explain").click();
    await page.getByText("The properties are no JSON").waitFor();
  },

  async the_live_tail_filters_and_pauses(page) {
    await enter(page, "#/live");
    await page.getByText("Listening to all ingest processes").waitFor();
    const tail = page.getByRole("list", { name: "Events, latest first" });
    // Other processes hear of a listener within seconds.
    await until("an event is seen", async () => {
      await track("tail-user", "tail_event", { colour: "blue" });
      return (await tail.getByText("tail_event").count()) > 0;
    });
    await tail.getByText("tail_event").first().click();
    await tail.getByText('"colour": "blue"').waitFor();
    await page.getByLabel("User or visitor").fill("only-this-one");
    // The tail begins anew with the filter.
    await tail.getByText("tail_event").first().waitFor({ state: "detached" });
    await until("the filter is in force", async () => {
      await track("tail-user", "not_to_be_seen");
      await track("only-this-one", "to_be_seen");
      return (await tail.getByText("to_be_seen", { exact: true }).count()) > 0;
    });
    same(await tail.getByText("not_to_be_seen").count(), 0, "events of another user");
    await button(page, "Pause").click();
    const before = await tail.getByRole("listitem").count();
    await track("only-this-one", "while_paused");
    await page.getByText(/Paused: [1-9]\d* wait/).waitFor();
    same(await tail.getByText("while_paused").count(), 0, "events while it is paused");
    await button(page, "Go on").click();
    await tail.getByText("while_paused").waitFor();
    same((await tail.getByRole("listitem").count()) > before, true, "rows after the pause");
    await button(page, "Clear").click();
    await page.getByText("Nothing came yet.").waitFor();
  },

  async a_user_is_found_with_traits_timeline_and_matches(page) {
    await enter(page, "#/users");
    await page.getByLabel("Search users").fill("ad");
    await page.getByRole("link", { name: "ada", exact: true }).click();
    await heading(page, "ada").waitFor();
    await page.getByText("plan", { exact: true }).waitFor();
    await row(page, "Demo: a cart of 40 or more").first().waitFor();
    const timeline = page.getByRole("list", { name: "Events of this user, latest first" });
    await timeline.getByText("cart_viewed").first().click();
    await timeline.getByText('"cart_total": 59').first().waitFor();
    await page.getByLabel("Only this event").selectOption("identify");
    await until("only identifies are listed", async () => (await timeline.getByText("cart_viewed").count()) === 0);
    await page.getByRole("link", { name: "browser-1" }).click();
    await heading(page, "browser-1").waitFor();
    await page.getByText("Visitor").first().waitFor();
    await page.goBack();
    await heading(page, "ada").waitFor();
    await go(page, "#/users/nobody-at-all");
    await page.getByText("Nothing is known of the user nobody-at-all.").waitFor();
  },

  async dead_letters_are_read_driven_again_and_discarded(page) {
    await enter(page, "#/dead-letters");
    await row(page, "to be mended").waitFor();
    await page.getByRole("link", { name: /Dead letters.*open/ }).waitFor();
    await page.getByLabel("Search reasons").fill("mended");
    await until("the other is gone", async () => (await row(page, "beyond help").count()) === 0);
    await button(page, "to be mended").click();
    await dialog(page).getByText('"event": "letter_event"').waitFor();
    await button(dialog(page), "Drive again").click();
    await dialog(page).filter({ hasText: "Drive 1 letter again?" }).getByRole("button", { name: "Drive again" }).click();
    await page.getByText("1 letter driven again.").waitFor();
    await page.getByText("No open letter has this reason.").waitFor();
    await page.getByLabel("Search reasons").fill("");
    await row(page, "beyond help").getByRole("checkbox").check();
    await button(page, "Discard 1").click();
    await button(dialog(page), "Discard").click();
    await page.getByText("1 letter discarded.").waitFor();
    await page.getByText("Nothing is open.").waitFor();
    await page.getByLabel("State").selectOption("discarded");
    await row(page, "beyond help").waitFor();
  },

  async keys_are_made_limited_and_revoked(page) {
    await enter(page, "#/keys");
    await button(page, "New key").click();
    await button(dialog(page), "Make the key").click();
    await dialog(page).getByText("must be 1 to 64 letters").waitFor();
    await dialog(page).getByLabel("Name").fill("web-shop");
    await dialog(page).getByLabel("Events per second").fill("250");
    await button(dialog(page), "Make the key").click();
    await dialog(page).getByText("This is the only time that it is shown.").waitFor();
    const key = await dialog(page).getByLabel("Key", { exact: true }).inputValue();
    same(/^ec_[0-9a-f]{64}$/.test(key), true, "the key's form");
    await button(dialog(page), "I have it").click();
    same((await page.content()).includes(key), false, "the key is still shown");
    await row(page, "web-shop").getByText("250 events/s").waitFor();
    await button(page, "Limits of web-shop").click();
    await dialog(page).getByLabel("Burst in seconds").fill("30");
    await button(dialog(page), "Save").click();
    await row(page, "web-shop").getByText("bursts of 30 s").waitFor();
    await button(page, "New key").click();
    await dialog(page).getByLabel("Name").fill("old-shop");
    await button(dialog(page), "Make the key").click();
    await button(dialog(page), "I have it").click();
    await button(page, "Revoke old-shop").click();
    await button(dialog(page), "Revoke").click();
    await row(page, "old-shop").getByText("revoked").waitFor();
  },

  async it_works_with_the_keyboard_alone(page) {
    await enter(page);
    await page.evaluate(() => document.activeElement?.blur());
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    same(await page.evaluate(() => document.activeElement?.id), "main", "where the skip link leads");
    const campaigns = page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: "Campaigns" });
    await campaigns.focus();
    await page.keyboard.press("Enter");
    await heading(page, "Campaigns").waitFor();
    await until("the page's head has the focus", () => page.evaluate(() => document.activeElement?.tagName === "H1"));
    await page.keyboard.press("/");
    same(await page.evaluate(() => document.activeElement?.getAttribute("aria-label")), "Search campaigns", "where / leads");
    await page.keyboard.type("a/b");
    same(await page.getByLabel("Search campaigns").inputValue(), "a/b", "a slash that is typed");
    await go(page, "#/keys");
    await button(page, "New key").focus();
    await page.keyboard.press("Enter");
    await dialog(page).waitFor();
    await page.keyboard.press("Escape");
    await dialog(page).waitFor({ state: "detached" });
    await until("the focus is back", () => page.evaluate(() => document.activeElement?.textContent === "New key"));
  },
};

/** Answers that flows bring about on purpose. */
const EXPECTED = {
  a_campaign_is_paused_copied_archived_and_deleted: ["404 GET /v1/admin/campaigns/"],
  a_key_opens_the_console_and_nothing_else_does: ["401 GET /v1/admin/status", "403 GET /v1/admin/status"],
  a_revoked_key_leads_back_to_the_key_page: ["401 GET /v1/admin/status"],
  nothing_of_a_document_is_lost_and_a_conflict_is_shown: ["412 PUT /v1/admin/campaigns/"],
  a_user_is_found_with_traits_timeline_and_matches: ["404 GET /v1/admin/users/nobody-at-all"],
  keys_are_made_limited_and_revoked: ["400 POST /v1/admin/keys"],
};

const wanted = process.argv.slice(2);
const browser = await open();
let failures = 0;

async function run(name) {
  const started = Date.now();
  const { page, context, trouble } = await tab(browser, { expected: EXPECTED[name] });
  try {
    await flows[name](page, { context });
    if (trouble.length > 0) throw new Error(trouble.join("\n"));
    console.log(`ok ${name} ${Date.now() - started} ms`);
  } catch (error) {
    failures += 1;
    const seen = await page.locator("body").innerText().catch(() => "");
    console.log(`FAILED ${name}: ${error.stack}\n${trouble.join("\n")}\nat ${page.url()}, which shows:\n${seen.slice(0, 3000)}`);
  }
  await context.close();
}

// Three at a time, each in a session of its own.
const queue = Object.keys(flows).filter((name) => wanted.length === 0 || wanted.includes(name));
await Promise.all([0, 1, 2].map(async () => {
  for (let name = queue.shift(); name; name = queue.shift()) await run(name);
}));
await browser.close();
process.exit(failures === 0 ? 0 : 1);
