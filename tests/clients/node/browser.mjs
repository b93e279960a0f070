// A headless Chromium that obeys the test's lines: one page at a time, one answer a line.
//
// {"open": url}   {"until": expression}   {"ask": expression}   {"choose": selector, "value": …}
// {"click": selector}   {"picture": path}
//
// Answers are {"answer": …}. When stdin ends it says what went wrong in the pages: messages of the
// console, errors, requests that failed or went elsewhere than to the page's own host.

import { createInterface } from "node:readline";
import { chromium } from "playwright-core";
import { options, say } from "./harness.mjs";

const browser = await chromium.launch({
  executablePath: options.chromium,
  // Root, as in a container, has no sandbox.
  args: process.getuid() === 0 ? ["--no-sandbox"] : [],
});
const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
page.setDefaultTimeout(options.patience * 1000);
const problems = [];
let host;
page.on("console", (message) => {
  if (["error", "warning"].includes(message.type())) problems.push(message.text());
});
page.on("pageerror", (error) => problems.push(error.message));
page.on("request", (request) => {
  const url = new URL(request.url());
  if (["http:", "https:"].includes(url.protocol) && url.host !== host) problems.push(request.url());
});
page.on("response", (response) => {
  if (response.status() >= 400) problems.push(`${response.status()} ${response.url()}`);
});

// Playwright's own wait is an eval in the page, which its policy forbids.
async function until(expression) {
  const end = Date.now() + options.patience * 1000;
  while (!(await page.evaluate(expression))) {
    if (Date.now() > end) throw new Error(`this did not come: ${expression}`);
    await new Promise((resume) => setTimeout(resume, 20));
  }
}

async function obey(order) {
  if (order.open) {
    host = new URL(order.open).host;
    await page.goto(order.open);
  } else if (order.until) {
    await until(order.until);
  } else if (order.ask) {
    return (await page.evaluate(order.ask)) ?? null;
  } else if (order.choose) {
    await page.selectOption(order.choose, order.value);
  } else if (order.click) {
    await page.click(order.click);
  } else {
    await page.screenshot({ path: order.picture });
  }
  return null;
}

for await (const line of createInterface({ input: process.stdin })) {
  say({ answer: await obey(JSON.parse(line)) });
}
await browser.close();
say({ problems });
