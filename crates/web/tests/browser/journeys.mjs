// Journeys through the window in a real browser: `node journeys.mjs URL CHROMIUM [PICTURES]`.
//
// The workspace behind URL has one finished run. Every page visited must log no error, break no
// content security policy and have no serious fault that axe knows. Prints a line per journey and
// ends with 1 if one failed.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { open } from "./browser.mjs";

const [, , base, executablePath, pictures] = process.argv;
const { visitor, check, picture, run, end } = await open(base, executablePath, pictures);

const journeys = {
  async "a first visit leads from the list to the answer and its figures"(page) {
    const response = await page.goto(base);
    const policy = response.headers()["content-security-policy"];
    assert.match(policy, /default-src 'none'/);
    assert.doesNotMatch(policy, /unsafe/);
    await check(page);
    await picture(page, "runs");
    await page.locator("table.runs tbody th a").first().click();
    await page.locator("ul.verdicts li").first().waitFor();
    await page.locator("figure[data-figure^=effects] svg").first().waitFor();
    await check(page);
    await picture(page, "run");
  },

  async "everything can be reached by keyboard"(page) {
    await page.goto(base);
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
    await page.keyboard.press("/");
    assert.equal(await page.evaluate(() => document.activeElement.name), "q");
    await page.keyboard.type("nobody-called-it-so");
    await page.keyboard.press("Enter");
    await page.getByText("No run is like that").waitFor();
    await page.goto(`${base}run/last/plan`);
    const link = page.locator("svg.lineage a[href]").first();
    await link.focus();
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/step\?|kind=/);
  },

  async "the plan leads to a step, its artifact and along the lineage"(page) {
    await page.goto(`${base}run/last/plan?kind=train`);
    await check(page);
    await page.locator("#steps tbody th a").first().click();
    await page.getByRole("heading", { name: "Settings, as resolved" }).waitFor();
    await check(page);
    await page.locator("dl.facts a[href^='/artifact/']").first().click();
    await page.getByRole("heading", { name: "Lineage" }).waitFor();
    await check(page);
    await picture(page, "lineage");
    const box = page.locator("svg.lineage a[href^='/artifact/']").first();
    const to = await box.getAttribute("href");
    await box.click();
    await page.waitForURL(`**${to}`);
    // A line leads to the step that made what it ends in.
    const line = page.locator("svg.lineage a[href^='/step/']").first();
    await page.goto(new URL(await line.getAttribute("href"), base).href);
    await page.getByRole("heading", { name: "Settings, as resolved" }).waitFor();
  },

  async "rows stand beside the control's, are coloured by token and can be searched"(page) {
    await page.goto(`${base}run/last/rows`);
    const rows = page.locator("table.rows tbody tr");
    assert.ok((await rows.count()) > 1);
    await page.getByRole("link", { name: "Show where they differ" }).click();
    await page.locator(".token").first().waitFor();
    assert.ok((await page.locator(".strip").count()) >= 3);
    await check(page);
    await picture(page, "rows");
    const text = (await rows.first().locator("td pre").nth(1).textContent()).trim().slice(0, 7);
    await page.locator("input[name=q]").fill(text);
    await page.getByRole("button", { name: "Show" }).click();
    await page.getByText("that have it").first().waitFor();
    await page.goto(`${base}run/last/rows?show=removed`);
    await page.locator("table.rows thead").getByText("rule").waitFor();
    await check(page);
  },

  async "two conditions are compared side by side"(page) {
    await page.goto(`${base}compare`);
    await check(page);
    await page.getByRole("button", { name: "Compare" }).click();
    await page.locator("figure[data-figure=conditions] svg").waitFor();
    await check(page);
    await picture(page, "compare");
  },

  async "base, teacher and student answer side by side, the same for the same seed"(page) {
    await page.goto(`${base}chat`);
    const ask = async () => {
      // A question that the run's readouts ask: a small model knows few words.
      const said = page.locator("textarea");
      await said.fill(await said.getAttribute("placeholder"));
      await page.getByRole("button", { name: "Ask" }).click();
      await page.locator("tr.said").waitFor();
      return page.locator("table.chat tbody tr").nth(1).locator("td").allTextContents();
    };
    const first = await ask();
    assert.ok(first.length >= 2 && first.every((answer) => !answer.includes("Cannot")), first.join());
    await check(page);
    await picture(page, "chat");
    await page.getByRole("link", { name: "New conversation" }).click();
    assert.deepEqual(await ask(), first);
  },

  async "a page is saved as one file that draws its figures without the window"(page) {
    await page.goto(`${base}run/last`);
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("link", { name: "Save as one file" }).click(),
    ]);
    const path = join(tmpdir(), `owlet-journey-${process.pid}.html`);
    await download.saveAs(path);
    const text = readFileSync(path, "utf8");
    assert.doesNotMatch(text, /name="token"|href="\//);
    // Without any network, the window's included.
    const { page: alone, faults, close } = await visitor({ offline: true }, null);
    await alone.goto(`file://${path}`);
    await alone.locator("figure[data-figure^=effects] svg").first().waitFor();
    await check(alone);
    assert.deepEqual(faults, []);
    await close();
    writeFileSync(path, "");
  },

  async "models, steps and settings are there, in the dark too"(page) {
    await page.emulateMedia({ colorScheme: "dark" });
    for (const path of ["models", "steps", "run/last/settings", "run/last/models", "run/last"]) {
      await page.goto(base + path);
      await page.locator("h1").waitFor();
      await check(page);
    }
    await picture(page, "dark");
  },
};

for (const [name, journey] of Object.entries(journeys)) await run(name, {}, journey);

await run("every page reads without JavaScript", { javaScriptEnabled: false }, async (page) => {
  for (const [path, words] of [
    ["", "Runs"], ["run/last", "The answer"], ["run/last/plan", "Steps"], ["run/last/rows?tokens=1", "Every token under"],
    ["run/last/models", "Read so far"], ["compare?a=last&b=last", "Two conditions"], ["chat", "You say"],
  ]) {
    await page.goto(base + path);
    await page.getByText(words).first().waitFor();
  }
  await page.goto(`${base}run/last`);
  assert.ok(await page.locator("figure svg").first().isVisible());
});

await end();
