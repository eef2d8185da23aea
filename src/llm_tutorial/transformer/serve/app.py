"""The service as a FastAPI application."""

import asyncio
import contextlib
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
    max_new_tokens: int = Field(default=64, ge=1)


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
        f"The request has more than {limit:,} bytes; send fewer texts at a time.",
        f"请求超过了 {limit:,} 字节；请把文本分几次发送。",
    )


def too_long(place: int, count: int, limit: int) -> Refusal:
    """A text of too many tokens: refused, for nobody would notice that it was cut."""
    return Refusal(
        422,
        "too_long",
        f"Text {place} has {count:,} tokens, the model reads at most {limit:,}; nothing was cut: shorten or split it.",
        f"第 {place} 段文本有 {count:,} 个词元，模型最多读 {limit:,} 个；没有截断：请缩短或拆分。",
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
        504, "timeout", f"No answer within {seconds:g} s; it was given up.", f"{seconds:g} 秒内没有结果，已经放弃。"
    )


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

        def run(texts: list[str]) -> Any:
            metrics.observe("batch_size", len(texts), SIZES)
            return model(texts)

        app.state.batcher = Batcher(run, settings.max_batch, settings.max_wait, settings.max_queue)
        app.state.thread, app.state.streams = ThreadPoolExecutor(1, thread_name_prefix="write"), 0
        metrics.gauge("queue_length", app.state.batcher.queue.qsize)
        metrics.gauge("streams_open", lambda: app.state.streams)
        yield  # uvicorn returns here when the open requests are answered
        await app.state.batcher.close()
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
    settings, batcher = state.settings, state.batcher
    if len(body.texts) > settings.max_texts:
        raise Refusal(
            422,
            "too_many",
            f"{len(body.texts)} texts; at most {settings.max_texts} at a time.",
            f"有 {len(body.texts)} 段文本；一次最多 {settings.max_texts} 段。",
        )
    counts = [state.embedder.count(text) for text in body.texts]
    for place, count in enumerate(counts, 1):
        if count > state.embedder.longest:
            raise too_long(place, count, state.embedder.longest)
    try:
        async with asyncio.timeout(settings.timeout):
            embeddings = await batcher.submit(body.texts)
    except BusyError:
        raise busy(batcher.seconds * batcher.queue.qsize() / settings.max_batch) from None
    except TimeoutError:
        raise timed_out(settings.timeout) from None
    state.metrics.count("tokens_total", sum(counts), model="embedder")
    return EmbedAnswer(embeddings=embeddings, tokens=sum(counts))


async def admitted(body: WriteRequest, request: Request) -> AsyncIterator[list[int]]:
    """Ids of the prompt, and a place among the open streams until the answer has ended.

    A dependency: what it refuses is refused before the stream has begun, with a status of its own.
    """
    state = request.app.state
    ids: list[int] = state.writer.encode(body.prompt)
    room = state.writer.longest - min(body.max_new_tokens, state.settings.max_new_tokens)
    if len(ids) > room:
        raise too_long(1, len(ids), room)
    if state.streams >= state.settings.max_streams:
        raise busy(1)
    state.streams += 1
    try:
        yield ids
    finally:
        state.streams -= 1


async def generate(
    body: WriteRequest, ids: Annotated[list[int], Depends(admitted)], request: Request
) -> AsyncIterator[dict[str, Any]]:
    """Pieces of the answer as server-sent events, then one event with ``done``.

    Every step is a job of its own for the one thread, so open streams take turns; a client that goes away ends this
    generator between two steps.
    """
    state, loop = request.app.state, asyncio.get_running_loop()
    limit = min(body.max_new_tokens, state.settings.max_new_tokens)
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
        yield {"done": True, "tokens": written}
    except TimeoutError:
        ended = True
        yield timed_out(state.settings.timeout).content
    finally:
        state.metrics.count("tokens_total", written, model="writer")
        if not ended:
            state.metrics.count("disconnects_total")


class Guard:
    """Around everything: refuses a large body before it is read, counts and times every request."""

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
        finally:
            known = scope["path"] if "endpoint" in scope else "other"
            self.metrics.count("requests_total", path=known, status=status)
            self.metrics.observe("request_seconds", time.perf_counter() - start, path=known)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if not isinstance(error, Refusal):
        zh = {404: "没有这个地址。", 405: "这个地址不支持该方法。"}.get(error.status_code, "请求失败。")
        error = Refusal(error.status_code, "http", str(error.detail), zh)
    return error.response()


CHINESE = {
    "json_invalid": "不是合法的 JSON",
    "missing": "缺少这一项",
    "too_short": "至少要有一项",
    "string_too_short": "不能为空",
    "string_type": "应当是字符串",
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
    chinese = CHINESE.get(first["type"], first["msg"])
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
