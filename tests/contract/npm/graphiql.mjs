// Opens GraphiQL in a headless Chromium that reaches this machine only: enters the key once, runs the queries of its
// three tabs, the last of which is a subscription that receives a note written meanwhile, and checks the rest of the page.
// Environment: CARET_URL, CARET_KEY, CARET_PNG (where the screenshot goes), TMPDIR (where Chromium is, and its libraries).
// Prints one line of JSON.
import { tmpdir } from "node:os";
import { setTimeout as wait } from "node:timers/promises";

import chromium from "@sparticuz/chromium";
import puppeteer from "puppeteer-core";

const { CARET_URL: url, CARET_KEY: key, CARET_PNG: png } = process.env;

// Not the package's own list of arguments: it switches off the web's security, which is part of what is tested.
const browser = await puppeteer.launch({
  executablePath: await chromium.executablePath(),
  env: { ...process.env, LD_LIBRARY_PATH: `${tmpdir()}/al2023/lib` },
  headless: "shell",
  args: ["--no-sandbox", "--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
});
const page = await browser.newPage();
const origins = new Set();
const errors = [];
page.on("request", (request) => request.url().startsWith("data:") || origins.add(new URL(request.url()).origin));
page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
page.on("pageerror", (error) => errors.push(String(error)));

const results = () => page.$eval(".result-window", (element) => element.textContent);
const click = async (selector) => (await page.waitForSelector(selector)).click();

async function waitForResult(text, meanwhile) {
  const timeout = AbortSignal.timeout(60_000);
  while (!(await results()).includes(text)) {
    if (timeout.aborted) throw new Error(`No ${text} in ${await results()}; ${errors}`);
    await meanwhile?.();
    await wait(100);
  }
}

async function run(tab) {
  await click(`.graphiql-tab:nth-child(${tab}) .graphiql-tab-button`);
  await page.waitForSelector(`.graphiql-tab-active:nth-child(${tab})`);
  // Until GraphiQL has read the new text it would send the name of the other tab's operation.
  await wait(1000);
  await click(".graphiql-execute-button");
}

async function write() {
  const query = 'mutation { createNote(input: { title: "Written elsewhere" }) { id } }';
  const headers = { Authorization: `Bearer ${key}`, "Content-Type": "application/json" };
  await (await fetch(`${url}/graphql`, { method: "POST", headers, body: JSON.stringify({ query }) })).json();
}

const report = {};
await page.setViewport({ width: 1280, height: 720 });
await page.goto(`${url}/graphql`);
await page.type("#credential", key);
await click("#enter button");
await run(1);
await waitForResult('"nodes"');
await run(2);
await waitForResult("Written in GraphiQL");
await run(3);
await waitForResult("Written elsewhere", write);
await page.screenshot({ path: png });

// The key is entered once: the same tab does not ask again, and no other tab gets it.
await page.reload();
await page.waitForSelector(".graphiql-execute-button");
report.keyStored = await page.evaluate((key) => [sessionStorage, localStorage].map((storage) => JSON.stringify(storage).includes(key)), key);

// The documentation, which introspection brings, and a dialog: neither needs what the policy forbids.
await click('button[aria-label="Show Documentation Explorer"]');
await page.waitForFunction(() => document.querySelector(".graphiql-doc-explorer")?.textContent.includes("Subscription"));
await click('button[aria-label="Open settings dialog"]');
await page.waitForSelector(".graphiql-dialog");
report.errors = [...errors];
report.origins = [...origins];

// Scripts in the page reach no other server: the policy refuses that before the network does.
report.reached = await page.evaluate(() => fetch("http://127.0.0.2:9/").then(() => true, () => false));
report.refused = errors.slice(report.errors.length).some((text) => text.includes("Content Security Policy"));
report.network = await page.goto("http://example.com/").then(() => "open", (error) => error.message.split(" ")[0]);
console.log(JSON.stringify(report));
await browser.close();
