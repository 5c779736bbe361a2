// Owns one Chromium, driven by lines of JSON on standard input: {id, code, args} runs code with `page`, `pages`, `args`.
import { createInterface } from "node:readline";
import { createRequire } from "node:module";

const require = createRequire(process.env.AGENT_LSP_EDITORS + "/");
const { chromium } = require("playwright-core");
const AsyncFunction = Object.getPrototypeOf(async function () {}).constructor;

const browser = await chromium.launch({
  executablePath: process.env.AGENT_LSP_CHROMIUM,
  args: [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
  ],
});
const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
await context.grantPermissions(["clipboard-read", "clipboard-write"]);
const state = { page: undefined };
context.setDefaultTimeout(90_000);

console.log(JSON.stringify({ ready: true }));
for await (const line of createInterface({ input: process.stdin })) {
  const { id, code, args } = JSON.parse(line);
  try {
    const value = await new AsyncFunction("state", "context", "args", code)(state, context, args);
    console.log(JSON.stringify({ id, value: value === undefined ? null : value }));
  } catch (error) {
    console.log(JSON.stringify({ id, error: String(error?.stack ?? error) }));
  }
}
await browser.close();
