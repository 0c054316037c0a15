// A browser for journeys: what a visitor's page complains of, and what axe finds serious in it.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Opens a browser for journeys at `base`; `pictures` is a folder for them, if they are wanted. */
export const open = async (base, executablePath, pictures) => {
  const browser = await chromium.launch({
    executablePath,
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync",
    ],
  });
  let failed = 0;

  /** A browser of its own, which may ask `base` only, and what went wrong in it. */
  const visitor = async (options = {}, allowed = base) => {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
    const page = await context.newPage();
    const faults = [];
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) faults.push(`${message.type()}: ${message.text()}`);
    });
    page.on("pageerror", (error) => faults.push(`exception: ${error.message}`));
    page.on("request", (request) => {
      const own = allowed && request.url().startsWith(allowed);
      if (!own && !/^(data|blob|file):/.test(request.url())) faults.push(`asks for ${request.url()}`);
    });
    return { page, faults, close: () => context.close() };
  };

  /** What axe finds. Its script comes in through the debugger, past the page's policy. */
  const check = async (page) => {
    await page.evaluate(axe);
    const found = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
    const serious = found.violations.filter((one) => ["serious", "critical"].includes(one.impact));
    assert.deepEqual(serious.map((one) => `${one.id}: ${one.nodes[0].html.slice(0, 200)}`), [], page.url());
  };

  const picture = async (page, name) => {
    if (pictures) await page.screenshot({ path: join(pictures, `${name}.png`) });
  };

  /** Makes one journey, and says how it went. */
  const run = async (name, options, journey) => {
    const { page, faults, close } = await visitor(options);
    page.setDefaultTimeout(30000);
    try {
      await journey(page);
      assert.deepEqual(faults, [], "the browser complains");
      console.log(`ok    ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`FAIL  ${name}\n${error.message}\nat ${page.url()}; ${faults.join("; ")}`);
    }
    await close();
  };

  const end = async () => {
    await browser.close();
    process.exitCode = failed ? 1 : 0;
  };

  return { visitor, check, picture, run, end };
};
