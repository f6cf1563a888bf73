"""The HTTP interface of the gap analyzer and the drift monitor (FastAPI)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse

from backend.errors import BackendError
from backend.synthetic.agents import (
    DriftMonitor,
    DriftReport,
    DriftRequest,
    GapAnalysis,
    GapAnalyzer,
    GapRequest,
    Source,
)
from backend.synthetic.agents.names import UnknownNameError

#: makes the source that the application reads from while it runs
OpenSource = Callable[[], Source]

_router = APIRouter(prefix="/api")


def create_app(open_source: OpenSource) -> FastAPI:
    """The application. It opens its source when it starts and closes it when it stops.

    A request that names something unknown is answered by 422 naming what is known, a database that
    does not answer by 503.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.source = source = open_source()
        yield
        await source.close()

    app = FastAPI(title="Orchestrate: agents on synthetic data", lifespan=lifespan)
    app.add_exception_handler(UnknownNameError, _unprocessable)
    app.add_exception_handler(BackendError, _unavailable)
    app.include_router(_router)
    return app


def _source(request: Request) -> Source:
    source: Source = request.app.state.source
    return source


_Source = Annotated[Source, Depends(_source)]


@_router.get("/health")
async def health() -> dict[str, str]:
    """Whether the server runs; the database is not asked."""
    return {"status": "ok"}


@_router.post("/agents/gap_analyzer/analyze")
async def analyze_gaps(request: GapRequest, source: _Source) -> GapAnalysis:
    """Where a brand's metrics fall short, and what closing the gaps is worth."""
    return await GapAnalyzer(source).analyze(request)


@_router.post("/agents/drift_monitor/detect")
async def detect_drift(request: DriftRequest, source: _Source) -> DriftReport:
    """Whether features, and with a model_id its predictions, still look as they did."""
    return await DriftMonitor(source).detect(request)


async def _unprocessable(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"status": "error", "detail": str(error)}, status_code=422)


async def _unavailable(_request: Request, error: Exception) -> JSONResponse:
    detail = error.message if isinstance(error, BackendError) else str(error)
    return JSONResponse({"status": "error", "detail": detail}, status_code=503)
