// Uses the chat page in a real browser: page.mjs BASE_URL CHROMIUM PICTURE.png.
import assert from "node:assert/strict";
import { createRequire } from "node:module";

// Where the packages are is the caller's business, not this file's folder's.
const puppeteer = createRequire(process.cwd() + "/")("puppeteer-core");
const [base, executablePath, picture] = process.argv.slice(2);
const browser = await puppeteer.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(60000);
  // Asked from here: what waits inside of a page needs what the page's policy forbids.
  const until = async (condition) => {
    const end = Date.now() + 60000;
    while (!(await page.evaluate(condition))) {
      assert.ok(Date.now() < end, "not within a minute: " + condition);
      await new Promise((done) => setTimeout(done, 50));
    }
  };
  await page.setViewport({ width: 900, height: 700 });
  const elsewhere = [];
  const problems = [];
  page.on("request", (request) => request.url().startsWith(base) || elsewhere.push(request.url()));
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));

  // The key, then the list of models.
  await page.goto(base + "/");
  await until(() => document.querySelector("dialog[open] input") !== null);
  await page.type("#key", "key-for-tests");
  await page.click("dialog button");
  await until(() => document.querySelectorAll("#model option").length > 0);
  problems.length = 0; // the browser tells of the 401 that asks for the key

  const ask = async (text) => {
    await page.$eval("#text", (field, value) => (field.value = value), text);
    await page.$eval("#send", (button) => button.click());
  };
  const answers = () => page.$$eval(".turn.assistant", (turns) => turns.map((turn) => turn.textContent));
  const idle = () => until(() => document.getElementById("stop").hidden);

  // A question, which streams: the answer is seen to grow.
  await ask("Hello! Who are you?");
  await until(() => document.querySelector(".turn.assistant")?.textContent.length > 2);
  const early = (await answers())[0].length;
  await idle();
  assert.ok((await answers())[0].length > early, "the answer did not grow");

  // A long answer, which is stopped.
  await ask("Write a very long story about a cat and a dog.");
  await until(() => document.querySelectorAll(".turn.assistant")[1]?.textContent.length > 20);
  await page.$eval("#stop", (button) => button.click());
  await idle();
  const stopped = (await answers())[1];
  assert.match(stopped, /stopped$/);
  await new Promise((done) => setTimeout(done, 500));
  assert.equal((await answers())[1], stopped, "it went on");

  // A further turn has the conversation before it; what looks like markup stays text.
  const bodies = [];
  page.on("request", (request) => request.method() === "POST" && bodies.push(JSON.parse(request.postData())));
  await ask("<b>Thanks</b>");
  await idle();
  assert.deepEqual(
    bodies[0].messages.map((message) => message.role),
    ["user", "assistant", "user", "assistant", "user"],
  );
  assert.equal(await page.$$eval(".turn b", (found) => found.length), 0);
  await page.screenshot({ path: picture });

  // A new chat.
  await page.$eval("#new", (button) => button.click());
  assert.equal((await page.$$(".turn")).length, 0);
  assert.deepEqual(elsewhere, [], "something was asked for elsewhere");
  assert.deepEqual(problems, []);
  console.log("the chat page works in " + (await browser.version()));
} finally {
  await browser.close();
}
