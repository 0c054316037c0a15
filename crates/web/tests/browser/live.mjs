// A run watched from its beginning, stopped, resumed and seen to its end, all in the browser:
// `node live.mjs URL CHROMIUM [PICTURES]`. Prints "watching" when the run is to be begun.
import assert from "node:assert/strict";

import { open } from "./browser.mjs";

const [, , base, executablePath, pictures] = process.argv;
const { check, picture, run, end } = await open(base, executablePath, pictures);

/** Leaves a mark that a page loaded anew does not have. */
const mark = (page) => page.evaluate(() => { globalThis.mark = true; });
const isMarked = (page) => page.evaluate(() => globalThis.mark === true);

await run("a run is watched, stopped, resumed and seen to its end", {}, async (page) => {
  const policies = [];
  page.on("response", (response) => {
    if (response.request().isNavigationRequest()) policies.push([response.url(), response.headers()["content-security-policy"] ?? ""]);
  });
  page.setDefaultTimeout(120000);
  const listening = page.waitForResponse((response) => response.url().startsWith(`${base}live/`));
  await page.goto(base);
  await mark(page);
  await listening;
  console.log("watching");

  // The list hears of the new run without being loaded again.
  await page.locator("#news a").waitFor();
  assert.ok(await isMarked(page), "the list was loaded again");
  await page.locator("#news a").click();
  await page.locator("table.runs .state.running").waitFor();
  await page.locator("table.runs tbody tr").first().locator("th a").click();

  // Progress and curves come without loading the page again.
  const stop = page.getByRole("button", { name: "Stop" });
  await stop.waitFor();
  await mark(page);
  const done = async () => Number(await page.locator("#live .bar-line progress").getAttribute("value"));
  const before = await done();
  await page.locator("#live svg.curve path.line").first().waitFor({ state: "attached" });
  const curve = () => page.locator("#live svg.curve path.line").evaluateAll((lines) => lines.map((line) => line.getAttribute("d")).join());
  const drawn = await curve();
  const moved = async () => (await done()) > before && (await curve()) !== drawn;
  for (let tries = 0; !(await moved()); tries += 1) {
    assert.ok(tries < 300, "neither steps nor curves went on");
    await page.waitForTimeout(100);
  }
  assert.ok(await isMarked(page), "the page was loaded again");
  await check(page);
  await picture(page, "live");

  await stop.click();
  const resume = page.getByRole("button", { name: "Resume" });
  await resume.waitFor();
  assert.equal(await page.locator(".badge .state").textContent(), "stopped");
  await check(page);

  const stopped = new URL(page.url()).pathname;
  await resume.click();
  await page.waitForURL(base);
  // It goes on in its own record.
  const first = page.locator("table.runs tbody tr").first();
  const resumed = first.locator(`th a[href^="${stopped}"]`);
  await first.locator(".state.running").waitFor();
  await resumed.click();
  // At its end the page becomes the result by itself.
  await page.locator("ul.verdicts li").first().waitFor();
  assert.equal(await page.locator(".badge .state").textContent(), "finished");

  assert.ok(policies.length >= 5);
  for (const [url, policy] of policies.filter(([url]) => !/\/(stop|resume)$/.test(url))) {
    assert.match(policy, /default-src 'none'/, url);
    assert.doesNotMatch(policy, /unsafe/, url);
  }
});

await end();
