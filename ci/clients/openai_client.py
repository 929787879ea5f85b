"""What the official OpenAI client for Python asks of a server: openai_client.py BASE_URL MODEL."""

import json
import sys
import time

import openai

base, model = sys.argv[1:3]
client = openai.OpenAI(base_url=base + "/v1", api_key="key-for-tests", max_retries=0)
question = [{"role": "user", "content": "Name a colour."}]
parameters = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 12}},
    "required": ["city"],
    "additionalProperties": False,
}
tools = [{"type": "function", "function": {"name": "weather", "parameters": parameters, "strict": True}}]
schema = {
    "type": "object",
    "properties": {"colour": {"enum": ["red", "blue"]}},
    "required": ["colour"],
    "additionalProperties": False,
}

# Models.
assert model in [entry.id for entry in client.models.list()]
assert client.models.retrieve(model).id == model

# Chat, whole and streamed.
whole = client.chat.completions.create(model=model, messages=question, temperature=0, max_tokens=12)
text = whole.choices[0].message.content
assert text and whole.choices[0].finish_reason in ("stop", "length")
assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
streamed = ""
usage = None
for chunk in client.chat.completions.create(
    model=model,
    messages=question,
    temperature=0,
    max_tokens=12,
    stream=True,
    stream_options={"include_usage": True},
):
    usage = chunk.usage or usage
    streamed += chunk.choices[0].delta.content or "" if chunk.choices else ""
assert streamed == text, (streamed, text)
assert usage.completion_tokens == whole.usage.completion_tokens

# Log-probabilities, several answers, a stop text.
several = client.chat.completions.create(
    model=model, messages=question, n=2, seed=3, max_tokens=4, logprobs=True, top_logprobs=2
)
assert len(several.choices) == 2 and len(several.choices[0].logprobs.content[0].top_logprobs) == 2
stopped = client.chat.completions.create(model=model, messages=question, temperature=0, max_tokens=12, stop=text[5:8])
assert text.startswith(stopped.choices[0].message.content) and text[5:8] not in stopped.choices[0].message.content

# Tools: a call that is forced, whole and streamed, and its answer.
forced = {"type": "function", "function": {"name": "weather"}}
weather = [{"role": "user", "content": "The weather in Oslo?"}]
arguments = {"model": model, "messages": weather, "tools": tools, "tool_choice": forced, "max_tokens": 60}
called = client.chat.completions.create(temperature=0, parallel_tool_calls=False, **arguments).choices[0]
assert called.finish_reason == "tool_calls", called
call = called.message.tool_calls[0]
assert list(json.loads(call.function.arguments)) == ["city"]
pieces = ""
for chunk in client.chat.completions.create(temperature=0, parallel_tool_calls=False, stream=True, **arguments):
    for piece in chunk.choices[0].delta.tool_calls or []:
        pieces += piece.function.arguments
assert pieces == call.function.arguments, (pieces, call.function.arguments)
with client.chat.completions.stream(parallel_tool_calls=False, temperature=0, **arguments) as stream:
    stream.until_done()
    final = stream.get_final_completion()
assert final.choices[0].message.tool_calls[0].function.name == "weather"
answer = client.chat.completions.create(
    model=model,
    messages=weather + [called.message, {"role": "tool", "tool_call_id": call.id, "content": "Rain"}],
    tools=tools,
    tool_choice="none",
    max_tokens=8,
)
assert answer.choices[0].message.content is not None

# A schema.
formatted = client.chat.completions.create(
    model=model,
    messages=question,
    max_tokens=40,
    response_format={"type": "json_schema", "json_schema": {"name": "colour", "schema": schema, "strict": True}},
)
assert json.loads(formatted.choices[0].message.content)["colour"] in ("red", "blue")

# Responses.
response = client.responses.create(model=model, input="Name a colour.", temperature=0, max_output_tokens=12)
assert response.output_text == text or response.output_text
deltas = ""
for event in client.responses.create(
    model=model, input="Name a colour.", temperature=0, max_output_tokens=12, stream=True
):
    if event.type == "response.output_text.delta":
        deltas += event.delta
assert deltas == response.output_text
function = {"type": "function", "name": "weather", "parameters": parameters, "strict": True}
reply = client.responses.create(model=model, input="Oslo?", tools=[function], tool_choice="required")
assert reply.output[0].type == "function_call" and "city" in json.loads(reply.output[0].arguments)

# Completions.
completion = client.completions.create(model=model, prompt="Once upon a time", max_tokens=6, logprobs=1)
assert completion.choices[0].text and len(completion.choices[0].logprobs.tokens) <= 6
assert list(client.completions.create(model=model, prompt="Once upon a time", max_tokens=6, stream=True))

# An abort in the middle, and what is wrong.
stream = client.chat.completions.create(model=model, messages=question, stream=True, logit_bias={"2": -100})
next(iter(stream))
stream.close()
time.sleep(0.2)
try:
    client.chat.completions.create(model="absent", messages=question)
    raise AssertionError("a model that is not there")
except openai.NotFoundError as e:
    assert e.code == "model_not_found", e
try:
    client.chat.completions.create(model=model, messages=question, temperature=-1)
    raise AssertionError("a temperature that is not there")
except openai.BadRequestError as e:
    assert e.param == "temperature", e
try:
    openai.OpenAI(base_url=base + "/v1", api_key="wrong", max_retries=0).models.list()
    raise AssertionError("a wrong key")
except openai.AuthenticationError:
    pass
try:
    client.embeddings.create(model=model, input="x")
    raise AssertionError("a model that cannot embed")
except openai.APIStatusError as e:
    assert e.status_code == 501, e
print("openai for Python", openai.__version__, "is content")
