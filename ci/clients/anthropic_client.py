"""What Anthropic's official client for Python asks of a server: anthropic_client.py BASE_URL MODEL."""

import sys
import time

import anthropic

base, model = sys.argv[1:3]
client = anthropic.Anthropic(base_url=base, api_key="key-for-tests", max_retries=0)
question = [{"role": "user", "content": "Name a colour."}]
tool = {
    "name": "weather",
    "description": "The weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 12}},
        "required": ["city"],
        "additionalProperties": False,
    },
}

# A message, whole and streamed.
arguments = {"model": model, "messages": question, "max_tokens": 12, "system": "Be brief.", "temperature": 0}
options = {name: value for name, value in arguments.items() if name != "temperature"}
sampling = {"extra_body": {"temperature": 0}}
whole = client.messages.create(**options, **sampling)
text = whole.content[0].text
assert text and whole.stop_reason in ("end_turn", "max_tokens")
with client.messages.stream(**options, **sampling) as stream:
    streamed = "".join(stream.text_stream)
    final = stream.get_final_message()
assert streamed == text, (streamed, text)
assert final.usage.output_tokens == whole.usage.output_tokens
counted = client.messages.count_tokens(model=model, messages=question, system="Be brief.").input_tokens
assert counted == whole.usage.input_tokens + whole.usage.cache_read_input_tokens

# A tool, whole and streamed, and its result.
weather = [{"role": "user", "content": "The weather in Oslo?"}]
choice = {"type": "tool", "name": "weather", "disable_parallel_tool_use": True}
asking = {"model": model, "max_tokens": 60, "messages": weather, "tools": [tool], "tool_choice": choice}
called = client.messages.create(**asking, **sampling)
assert called.stop_reason == "tool_use", called
use = called.content[-1]
assert use.type == "tool_use" and list(use.input) == ["city"]
with client.messages.stream(**asking, **sampling) as stream:
    assert stream.get_final_message().content[-1].input == use.input
result = {"type": "tool_result", "tool_use_id": use.id, "content": "Rain"}
answer = client.messages.create(
    model=model,
    max_tokens=8,
    messages=weather + [{"role": "assistant", "content": called.content}, {"role": "user", "content": [result]}],
    tools=[tool],
)
assert answer.content

# An abort in the middle, and what is wrong.
with client.messages.stream(model=model, messages=question, max_tokens=2000) as stream:
    next(iter(stream))
time.sleep(0.2)
try:
    client.messages.create(model="absent", max_tokens=1, messages=question)
    raise AssertionError("a model that is not there")
except anthropic.NotFoundError as e:
    assert "absent" in str(e)
try:
    anthropic.Anthropic(base_url=base, api_key="wrong", max_retries=0).messages.create(**options)
    raise AssertionError("a wrong key")
except anthropic.AuthenticationError:
    pass
print("anthropic for Python", anthropic.__version__, "is content")
