"""The service as a FastAPI application."""

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated, Any

import uvicorn
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.sse import EventSourceResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llm_tutorial.transformer.serve.batching import Batcher, BusyError
from llm_tutorial.transformer.serve.engines import Embedder, Writer
from llm_tutorial.transformer.serve.metrics import SIZES, Metrics


class Settings(BaseModel):
    """Limits of the service; each refuses early what would otherwise fail late."""

    max_body: int = 1_000_000  # bytes of a request
    max_characters: int = 10_000  # of a text or a prompt: more is not even tokenized
    max_texts: int = 32  # of one request
    max_batch: int = 16  # texts computed together
    max_wait: float = 0.0  # seconds that a text waits for company while the model is idle
    max_queue: int = 64  # texts that wait
    max_streams: int = 4  # texts written side by side
    max_new_tokens: int = 256
    timeout: float = 30.0  # seconds until an answer, or a stream, is given up


class EmbedRequest(BaseModel):
    """Texts to embed."""

    texts: list[Annotated[str, Field(min_length=1)]] = Field(min_length=1)


class EmbedAnswer(BaseModel):
    """An embedding of length one for each text, in their order, and the tokens they took."""

    embeddings: list[list[float]]
    tokens: int


class WriteRequest(BaseModel):
    """A question to answer."""

    prompt: str = Field(min_length=1)
    max_new_tokens: int | None = Field(default=None, ge=1)  # as many as the service writes


class Refusal(HTTPException):
    """An answer that says in both languages why there is no other.

    Args:
        status: Of HTTP.
        code: One word for programs.
        en: What is wrong and what to do, in English.
        zh: The same in Chinese.
        headers: Such as ``Retry-After``.
    """

    def __init__(self, status: int, code: str, en: str, zh: str, **headers: str) -> None:
        super().__init__(status, f"{en}\n{zh}", {name.replace("_", "-"): value for name, value in headers.items()})
        self.content = {"error": {"code": code, "en": en, "zh": zh}}

    def response(self) -> JSONResponse:
        """As JSON."""
        return JSONResponse(self.content, self.status_code, self.headers)


def too_large(limit: int) -> Refusal:
    """A body of too many bytes."""
    return Refusal(
        413,
        "too_large",
        f"The request has more than {limit:,} bytes; send less at a time.",
        f"请求超过了 {limit:,} 字节；请一次少发一些。",
    )


def too_many(en: str, zh: str, count: int, limit: int) -> Refusal:
    """More than the service takes or gives at a time."""
    return Refusal(422, "too_many", f"{count:,} {en}; at most {limit:,}.", f"要求 {count:,} {zh}；最多 {limit:,}。")


def too_long(place: int, count: int, limit: int, en: str = "tokens", zh: str = "个词元") -> Refusal:
    """A text of too many tokens or characters: refused, for nobody would notice that it was cut."""
    return Refusal(
        422,
        "too_long",
        f"Text {place} has {count:,} {en}, the service takes {limit:,}; nothing was cut: shorten or split it.",
        f"第 {place} 段文本有 {count:,} {zh}，本服务最多收 {limit:,}；没有截断：请缩短或拆分。",
    )


def busy(seconds: float) -> Refusal:
    """No room to wait; the client should come again later."""
    wait = max(1, math.ceil(seconds))
    return Refusal(
        429,
        "busy",
        f"Too many requests wait already; try again in {wait} s.",
        f"等待的请求太多；请在 {wait} 秒后重试。",
        Retry_After=str(wait),
    )


def timed_out(seconds: float) -> Refusal:
    """Nothing was ready in time."""
    return Refusal(
        504, "timeout", f"Not done within {seconds:g} s; it was given up.", f"{seconds:g} 秒内没有完成，已经放弃。"
    )


def failed() -> Refusal:
    """A fault of the service; what it was stands in its log."""
    return Refusal(500, "failed", "The service failed; its log says why.", "服务出错；原因见服务的日志。")


def create_app(
    settings: Settings | None = None,
    embedder: Callable[[], Any] = Embedder,
    writer: Callable[[], Any] | None = Writer,
) -> FastAPI:
    """The application; models are loaded when it starts.

    Args:
        settings: Limits.
        embedder: Makes the model of ``/embed``.
        writer: Makes the model of ``/generate``; ``None`` for a service without it.
    """
    settings = settings or Settings()
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        model = app.state.embedder = embedder()
        app.state.writer = writer() if writer else None

        def run(ids: list[list[int]]) -> Any:
            metrics.observe("batch_size", len(ids), SIZES)
            try:
                return model.compute(ids)
            except Exception:
                metrics.count("batches_failed_total")
                raise

        app.state.batcher = Batcher(run, settings.max_batch, settings.max_wait, settings.max_queue)
        app.state.tokenize = ThreadPoolExecutor(1, thread_name_prefix="tokenize")
        app.state.thread, app.state.streams = ThreadPoolExecutor(1, thread_name_prefix="write"), 0
        metrics.gauge("queue_length", app.state.batcher.queue.qsize)
        metrics.gauge("streams_open", lambda: app.state.streams)
        yield  # uvicorn returns here when the open requests are answered
        await app.state.batcher.close()
        app.state.tokenize.shutdown()
        app.state.thread.shutdown()

    app = FastAPI(title="llm_tutorial", lifespan=lifespan)
    app.state.settings, app.state.metrics = settings, metrics
    app.add_middleware(Guard, settings=settings, metrics=metrics)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)
    app.get("/health")(health)
    app.get("/metrics", response_class=PlainTextResponse)(show_metrics)
    app.post("/embed")(embed)
    if writer:
        app.post("/generate", response_class=EventSourceResponse)(generate)
    return app


async def health() -> dict[str, str]:
    """Whether the models are loaded: nothing is answered before."""
    return {"status": "ok"}


async def show_metrics(request: Request) -> str:
    """Counters in Prometheus's format."""
    text: str = request.app.state.metrics.text()
    return text


async def embed(body: EmbedRequest, request: Request) -> EmbedAnswer:
    """Embeddings of texts, computed in batches with those of other requests."""
    state = request.app.state
    settings, batcher, longest = state.settings, state.batcher, state.embedder.longest
    most = min(settings.max_texts, settings.max_queue)  # more could never be taken in
    if len(body.texts) > most:
        raise too_many("texts at a time", "段文本", len(body.texts), most)
    try:
        async with asyncio.timeout(settings.timeout):
            ids = await tokenized(request, state.embedder.encode, body.texts)
            for place, row in enumerate(ids, 1):
                if len(row) > longest:
                    raise too_long(place, len(row), longest)
            embeddings = await batcher.submit(ids)
    except BusyError:
        raise busy(batcher.seconds * math.ceil(batcher.queue.qsize() / settings.max_batch)) from None
    except TimeoutError:
        raise timed_out(settings.timeout) from None
    tokens = sum(map(len, ids))
    state.metrics.count("tokens_total", tokens, model="embedder")
    return EmbedAnswer(embeddings=embeddings, tokens=tokens)


async def tokenized(request: Request, encode: Callable[[Any], Any], texts: list[str]) -> Any:
    """Token ids of texts, made in the thread for that: hundreds of thousands of characters take a second.

    Args:
        request: The request that brought them.
        encode: What makes them of all texts.
        texts: Each is refused when it has too many characters.
    """
    state = request.app.state
    for place, text in enumerate(texts, 1):
        if len(text) > state.settings.max_characters:
            raise too_long(place, len(text), state.settings.max_characters, "characters", "个字符")
    return await asyncio.get_running_loop().run_in_executor(state.tokenize, encode, texts)


async def admitted(body: WriteRequest, request: Request) -> AsyncIterator[list[int]]:
    """Ids of the prompt, and a place among the open streams until the answer has ended.

    A dependency: what it refuses is refused before the stream has begun, with a status of its own.
    """
    state = request.app.state
    most = state.settings.max_new_tokens
    if (body.max_new_tokens or 0) > most:
        raise too_many("new tokens", "个新词元", body.max_new_tokens or 0, most)
    if state.streams >= state.settings.max_streams:
        raise busy(1)
    state.streams += 1
    try:
        ids = await tokenized(request, lambda texts: state.writer.encode(texts[0]), [body.prompt])
        room = state.writer.longest - (body.max_new_tokens or most)
        if len(ids) > room:
            raise too_long(1, len(ids), room)
        yield ids
    finally:
        state.streams -= 1


async def generate(
    body: WriteRequest, ids: Annotated[list[int], Depends(admitted)], request: Request
) -> AsyncIterator[dict[str, Any]]:
    """Pieces of the answer as server-sent events, then one event with ``done``, or with ``error``.

    Every step is a job of its own for the one thread, so open streams take turns; a client that goes away ends this
    generator between two steps.
    """
    state, loop = request.app.state, asyncio.get_running_loop()
    limit = body.max_new_tokens or state.settings.max_new_tokens
    steps, pieces, written, ended = state.writer.tokens(ids, limit), state.writer.pieces(), 0, False
    try:
        async with asyncio.timeout(state.settings.timeout):
            while (token := await loop.run_in_executor(state.thread, next, steps, None)) is not None:
                written += 1
                if piece := pieces.add(token):
                    yield {"text": piece}
        if piece := pieces.rest():
            yield {"text": piece}
        ended = True
        yield {"done": True, "tokens": written, "finish_reason": "length" if written == limit else "stop"}
    except TimeoutError:
        ended = True
        yield timed_out(state.settings.timeout).content
    except Exception:  # the status was sent long ago
        ended = True
        logging.getLogger("uvicorn.error").exception("/generate")
        yield failed().content
    finally:
        state.metrics.count("tokens_total", written, model="writer")
        if not ended:
            state.metrics.count("disconnects_total")


class Guard:
    """Around everything: refuses a large body before it is read, answers for what fails, counts and times."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self.app, self.limit, self.metrics = app, settings.max_body, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Of ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status, size = time.perf_counter(), "none", 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self.limit:
                raise too_large(self.limit)
            return message

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        said = dict(scope["headers"]).get(b"content-length", b"0")
        try:
            if said.isdigit() and int(said) > self.limit:
                await too_large(self.limit).response()(scope, receive, noted)
            else:
                await self.app(scope, counted, noted)
        except Exception:
            logging.getLogger("uvicorn.error").exception(scope["path"])
            if status != "none":  # the answer has begun: it can only break off
                raise
            await failed().response()(scope, receive, noted)
        finally:
            known = scope["path"] if "endpoint" in scope else "other"
            self.metrics.count("requests_total", path=known, status=status)
            self.metrics.observe("request_seconds", time.perf_counter() - start, path=known)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if not isinstance(error, Refusal):
        code, zh = OTHERS.get(error.status_code, ("http", "请求失败。"))
        error = Refusal(error.status_code, code, f"{str(error.detail).rstrip('.')}.", zh)
    return error.response()


OTHERS = {
    400: ("malformed", "请求体无法解析。"),
    404: ("not_found", "没有这个地址。"),
    405: ("method", "这个地址不支持该方法。"),
}


CHINESE = {
    "json_invalid": "不是合法的 JSON",
    "missing": "缺少这一项",
    "too_short": "至少要有一项",
    "string_too_short": "不能为空",
    "string_type": "应当是字符串",
    "string_unicode": "不是合法的 Unicode 文本",
    "list_type": "应当是列表",
    "int_parsing": "应当是整数",
    "int_type": "应当是整数",
    "greater_than_equal": "太小了",
    "model_attributes_type": "应当是 JSON 对象，请写明 Content-Type: application/json",
}


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    broken = first["type"] == "json_invalid"
    where = ".".join(str(part) for part in first["loc"])
    reason = first["msg"] + (f" ({first['ctx']['error']})" if broken else "")
    chinese = CHINESE.get(first["type"], "不符合要求")
    code, status = ("malformed", 400) if broken else ("invalid", 422)
    return Refusal(status, code, f"{where}: {reason}.", f"{where}：{chinese}。").response()


@contextmanager
def serving(app: FastAPI, host: str = "127.0.0.1") -> Iterator[str]:
    """Runs an application in a thread of its own, on a free port, and gives its address.

    Args:
        app: What ``create_app`` gave.
        host: Address to listen on; this one is reachable from the same machine only.
    """
    server = uvicorn.Server(uvicorn.Config(app, host, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("the server did not start\n服务没有启动")
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://{host}:{port}"
    finally:
        with contextlib.suppress(RuntimeError):
            server.should_exit = True
            thread.join()
