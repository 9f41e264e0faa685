"""LangChain with the providers of OpenAI and Anthropic: whole answers, streams and errors."""

import json

import anthropic
import openai
from langchain_anthropic import ChatAnthropic
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

import answers
import provider as scripted
from bench import CALL_SECONDS, CALLER_KEY
from expect import equal, pieces, raises, true

PROMPT = "Say hello."


@tool
def weather(city: str) -> str:
    """Tells the weather."""
    return city


class Models:
    """The chat models that LangChain makes of the servers'."""

    def __init__(self, bench):
        usual = {"timeout": CALL_SECONDS}
        self.of_openai = {
            "base_url": bench.sidecar.url + "/v1",
            "api_key": CALLER_KEY,
            **usual,
        }
        self.of_anthropic = {"base_url": bench.sidecar.url, "api_key": CALLER_KEY, **usual}

    def chat(self, model="llama", **options):
        return ChatOpenAI(model=model, **{**self.of_openai, **options})

    def responses(self, **options):
        return self.chat("gpt", use_responses_api=True, **options)

    def claude(self, model="claude", **options):
        return ChatAnthropic(model=model, **{**self.of_anthropic, **options})


def client(bench):
    return Models(bench)


def embeddings(_bench, models):
    # What it would count tokens with is not for models of unknown names.
    plain = {**models.of_openai, "check_embedding_ctx_length": False}
    equal(OpenAIEmbeddings(model="llama", **plain).embed_query("one"), answers.VECTOR)


def invoke(model):
    def check(_bench, models):
        answer = model(models).invoke(PROMPT)
        equal((answer.text, answer.usage_metadata["total_tokens"]), (answers.TEXT, 11))

    return check


def stream(model):
    def check(_bench, models):
        equal(pieces(model(models).stream(PROMPT), _text), (answers.WORDS, None))

    return check


def tools(model):
    """A call of a tool, whole and streamed."""

    def check(_bench, models):
        bound = model(models).bind_tools([weather])
        whole, total = bound.invoke(PROMPT), None
        for chunk in bound.stream(PROMPT):
            total = chunk if total is None else total + chunk
        for answer in (whole, total):
            [call] = answer.tool_calls
            equal((call["name"], call["args"]), (answers.TOOL, answers.ARGUMENTS))

    return check


def upset_stream(name, model, kinds, behaviour):
    """A stream that does not come to its end never passes for a whole one."""

    def check(bench, models):
        bench[name].behaviour = behaviour
        texts, error = pieces(model(models).stream(PROMPT), _text)
        is_own = isinstance(error, kinds) and not isinstance(error, json.JSONDecodeError)
        true(is_own, f"{error!r} after {texts!r}")
        equal((texts, len(bench[name].requests)), (answers.WORDS[:1], 1))

    return check


def exhaustion(model, kind):
    def check(bench, models):
        for name in ("primary", "fallback", "claude"):
            bench[name].behaviour = 429
        equal(raises(kind, lambda: model(models).invoke(PROMPT)).status_code, 503)
        equal(raises(kind, lambda: list(model(models).stream(PROMPT))).status_code, 503)

    return check


def unknown_model(model, kind):
    def check(_bench, models):
        error = raises(kind, lambda: model(models, model="nowhere").invoke(PROMPT))
        true("nowhere" in str(error), "the message does not name the model")

    return check


def callers_fault(name, model, kind):
    def check(bench, models):
        bench[name].behaviour = 400
        error = raises(kind, lambda: model(models).invoke(PROMPT))
        true("scripted 400" in str(error), "the provider's message is lost")

    return check


def checks():
    """Every check by its name, in order."""
    yield "embeddings", embeddings
    models = {
        "chat": ("primary", Models.chat, openai),
        "responses": ("gpt", Models.responses, openai),
        "claude": ("claude", Models.claude, anthropic),
    }
    for kind, (name, model, sdk) in models.items():
        yield f"{kind}_invoke", invoke(model)
        yield f"{kind}_stream", stream(model)
        yield f"{kind}_tools", tools(model)
        # Of an error in a response's stream LangChain makes one of its own.
        kinds = (sdk.APIError, ValueError) if kind == "responses" else sdk.APIError
        for behaviour in (scripted.CUT, scripted.STALL, scripted.FAIL):
            yield f"{kind}_stream_{behaviour}", upset_stream(name, model, kinds, behaviour)
        yield f"{kind}_callers_fault", callers_fault(name, model, sdk.BadRequestError)
        if kind != "responses":
            yield f"{kind}_exhaustion", exhaustion(model, sdk.InternalServerError)
            yield f"{kind}_unknown_model", unknown_model(model, sdk.NotFoundError)


def _text(message):
    return message.text
