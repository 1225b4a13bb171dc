"""The official OpenAI client, unmodified: the tenant's token is its API key.

usage: openai_client.py EDGE_PORT ACME_TOKEN
"""

import sys

import openai

client = openai.OpenAI(
    base_url=f"http://127.0.0.1:{sys.argv[1]}/v1", api_key=sys.argv[2], default_headers={"Host": "llm.test"}, max_retries=0
)
messages = lambda text: [{"role": "user", "content": text}]

assert [model.id for model in client.models.list()] == ["demo"]
answer = client.chat.completions.create(model="demo", messages=messages("hello there"))
assert answer.choices[0].message.content == "hello there"

stream = client.chat.completions.create(model="demo", messages=messages("one two three"), stream=True)
assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "one two three"

try:
    client.chat.completions.create(model="demo", messages=messages("whole leak"))
    raise AssertionError("was not withheld")
except openai.PermissionDeniedError as error:
    assert error.code == "fingerprint_match", error

text = ""
try:
    for chunk in client.chat.completions.create(model="demo", messages=messages("split leak"), stream=True):
        text += chunk.choices[0].delta.content or ""
    raise AssertionError("was not cut")
except openai.APIError as error:
    assert "withheld" in str(error), error
assert text == "Sure: ", repr(text)

try:
    client.files.list()
    raise AssertionError("was not refused")
except openai.PermissionDeniedError as error:
    assert error.code == "endpoint_unknown", error
try:
    openai.OpenAI(base_url=client.base_url, api_key="sk-mine", default_headers={"Host": "llm.test"}, max_retries=0).models.list()
    raise AssertionError("was not refused")
except openai.AuthenticationError as error:
    assert error.code == "token_invalid", error
print("openai client: ok")
