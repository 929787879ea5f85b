// What the official OpenAI client for JavaScript asks of a server: openai_client.mjs BASE_URL MODEL.
import assert from "node:assert/strict";
import { createRequire } from "node:module";

// Where the packages are is the caller's business, not this file's folder's.
const OpenAI = createRequire(process.cwd() + "/")("openai").default;
const [base, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL: base + "/v1", apiKey: "key-for-tests", maxRetries: 0 });
const messages = [{ role: "user", content: "Name a colour." }];
const parameters = {
  type: "object",
  properties: { city: { type: "string", maxLength: 12 } },
  required: ["city"],
  additionalProperties: false,
};

// Chat, whole and streamed.
const asked = { model, messages, temperature: 0, max_tokens: 12 };
const whole = await client.chat.completions.create(asked);
const text = whole.choices[0].message.content;
assert.ok(text);
let streamed = "";
for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) {
  streamed += chunk.choices[0]?.delta?.content ?? "";
}
assert.equal(streamed, text);

// Tools.
const tools = [{ type: "function", function: { name: "weather", parameters } }];
const call = { model, messages, tools, tool_choice: "required", parallel_tool_calls: false, max_tokens: 60 };
const called = await client.chat.completions.create({ ...call, temperature: 0 });
assert.equal(called.choices[0].finish_reason, "tool_calls");
assert.deepEqual(Object.keys(JSON.parse(called.choices[0].message.tool_calls[0].function.arguments)), ["city"]);
const final = await client.chat.completions.stream({ ...call, temperature: 0 }).finalChatCompletion();
assert.equal(
  final.choices[0].message.tool_calls[0].function.arguments,
  called.choices[0].message.tool_calls[0].function.arguments,
);

// A schema.
const schema = { type: "object", properties: { colour: { enum: ["red", "blue"] } }, required: ["colour"] };
const formatted = await client.chat.completions.create({
  ...asked,
  max_tokens: 40,
  response_format: { type: "json_schema", json_schema: { name: "colour", schema } },
});
assert.match(JSON.parse(formatted.choices[0].message.content).colour, /^(red|blue)$/);

// Responses.
const input = { model, input: "Name a colour.", max_output_tokens: 12, temperature: 0 };
const response = await client.responses.create(input);
assert.ok(response.output_text);
const stream = client.responses.stream(input);
assert.equal((await stream.finalResponse()).output_text, response.output_text);

// An abort in the middle, and what is wrong.
const controller = new AbortController();
const endless = await client.chat.completions.create(
  { model, messages, stream: true, logit_bias: { 2: -100 } },
  { signal: controller.signal },
);
let pieces = 0;
try {
  for await (const chunk of endless) {
    if (chunk && ++pieces === 3) {
      controller.abort();
    }
  }
} catch (e) {
  assert.ok(e instanceof OpenAI.APIUserAbortError, e);
}
assert.ok(pieces >= 3);
await assert.rejects(client.chat.completions.create({ model: "absent", messages }), OpenAI.NotFoundError);
await assert.rejects(client.chat.completions.create({ model, messages, top_p: 7 }), (e) => e.param === "top_p");
console.log("openai for JavaScript is content");
